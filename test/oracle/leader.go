package oracle

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// SetLeader tells who may bind pods from now on, by whatever name [Judge.ObserveBind] has for him; "" if that is not known.
func (j *Judge) SetLeader(who string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.leader = who
}

// ObserveBind tells that somebody has bound a pod.
func (j *Judge) ObserveBind(at time.Time, by string, pod types.NamespacedName) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.leader != "" && by != j.leader {
		j.found = append(j.found, Usurped{Pod: pod, At: at, By: by, Leader: j.leader})
	}
}
