package scheduler

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// followLeases reflects the Leases of one namespace until the context is done: the reporters', and nothing of the many that the
// kubelets renew. Without reports there are none to follow, and perhaps no such namespace. Whoever may not read them gets an error in the log now and then, and no report of theirs is ever fresh.
func followLeases(ctx context.Context, client kubernetes.Interface, namespace string, into cache.ReflectorStore) {
	leases := client.CoordinationV1().Leases(namespace)
	lw := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return leases.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return leases.Watch(ctx, o)
		},
	}, client)
	cache.NewReflectorWithOptions(lw, &coordinationv1.Lease{}, into, cache.ReflectorOptions{Name: "gpu reporters"}).RunWithContext(ctx)
}
