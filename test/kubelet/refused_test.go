package kubelet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// churn is how many pods come to a node that has room for a fraction of them.
const churn = 20

// Every test ends with the same question: see newNode. Here nothing is waited for: pods end, are deleted and come while others are
// being placed, and the reporter changes its mind.
func TestNoPodIsRefusedByTheKubeletThatTheSchedulerPlaced(t *testing.T) {
	t.Parallel()
	number := seed(t)
	for _, system := range []string{"dgx1-v100", "h100"} {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, system)
			random := rand.New(rand.NewPCG(number, 1))
			for i := range churn {
				n.pod(fmt.Sprintf("pod-%d", i), 1+random.IntN(4))
				if random.IntN(4) == 0 {
					n.reportLost(n.uuids()[random.IntN(len(n.uuids()))])
				}
			}
			n.reportLost()
			n.eventually(func(ctx context.Context) string {
				pods, err := shared.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "node=" + n.name})
				if err != nil {
					return err.Error()
				}
				for i := range pods.Items {
					p := &pods.Items[i]
					require.NotEqual(t, v1.PodFailed, p.Status.Phase, "%s: %s %s", p.Name, p.Status.Reason, p.Status.Message)
					isRunning := p.Status.Phase == v1.PodRunning
					switch {
					case p.DeletionTimestamp != nil:
					case isRunning && random.IntN(2) == 0:
						n.finish(strings.TrimPrefix(p.Name, n.called("")), "main")
					case isRunning || p.Status.Phase == v1.PodSucceeded:
						if err := shared.Client.CoreV1().Pods(namespace).Delete(ctx, p.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
							return err.Error()
						}
					}
				}
				if len(pods.Items) > 0 {
					return fmt.Sprintf("the end of %d pods", len(pods.Items))
				}
				return ""
			})
		})
	}
}
