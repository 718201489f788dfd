package coscheduling

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/object"
)

// Status implements [gang.Dialect].
func (d *Dialect) Status(podGroup *unstructured.Unstructured, progress gang.Progress, now metav1.Time) *unstructured.Unstructured {
	group := d.Translate(podGroup)
	status := object.EditStatus(podGroup)
	phase := nextPhase(v1alpha1.PodGroupPhase(status.Text("phase")), group, progress)

	status.Set("phase", string(phase))
	status.SetCount("running", progress.Running)
	status.SetCount("succeeded", progress.Succeeded)
	status.SetCount("failed", progress.Failed)
	if phase != v1alpha1.PodGroupPending && status.Text("scheduleStartTime") == "" {
		status.Set("scheduleStartTime", now.UTC().Format(time.RFC3339))
	}
	return status.Result()
}

// nextPhase is the list of doc.go. It is idempotent: a phase that it returns, it returns again for the same group and
// progress.
func nextPhase(before v1alpha1.PodGroupPhase, group *gang.Group, progress gang.Progress) v1alpha1.PodGroupPhase {
	if group.Invalid != "" {
		return stored(before)
	}
	isOver := progress.Pending+progress.Bound+progress.Running == 0
	hasRun := before == v1alpha1.PodGroupRunning || before == v1alpha1.PodGroupUnknown
	hasFailed := progress.Failed > 0 && progress.Pending == 0 && progress.Repair.Phase != gang.Repairing && progress.Failed+progress.Placed() >= group.MinMember
	switch {
	case progress.Succeeded >= group.MinMember:
		return v1alpha1.PodGroupFinished
	case isOver && before == v1alpha1.PodGroupFinished:
		return v1alpha1.PodGroupFinished
	case progress.Running+progress.Succeeded >= group.MinMember:
		return v1alpha1.PodGroupRunning
	case hasFailed && progress.Placed() < group.MinMember:
		return v1alpha1.PodGroupFailed
	case isOver && before == v1alpha1.PodGroupFailed:
		return v1alpha1.PodGroupFailed
	case hasRun && 0 < progress.Placed() && progress.Placed() < group.MinMember:
		return v1alpha1.PodGroupUnknown
	case progress.Placed() > 0, progress.Members() >= group.MinMember:
		return v1alpha1.PodGroupScheduling
	}
	return v1alpha1.PodGroupPending
}

// stored is the phase of a group whose spec is broken: as it was, or Pending where it never was one of the type's.
func stored(phase v1alpha1.PodGroupPhase) v1alpha1.PodGroupPhase {
	switch phase {
	case v1alpha1.PodGroupScheduling, v1alpha1.PodGroupRunning, v1alpha1.PodGroupUnknown, v1alpha1.PodGroupFailed, v1alpha1.PodGroupFinished:
		return phase
	}
	return v1alpha1.PodGroupPending
}
