package scheduler

import (
	"context"
	"errors"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// doubtBackoff is how long is waited before each question whether a pod was bound. The first one waits, too: the API server may be
// about to do what the client has given up on.
var doubtBackoff = wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 6, Cap: 5 * time.Second}

// Bind binds a pod. Where the reply leaves in doubt whether it was bound it asks until that is known, or the context is done:
// the core takes every error for a pod that was not, and gives its place to the next one, while the watch may tell of it only
// later. Until then the place is held.
//
// What it can miss: a request that outlives the first question. Nothing takes so long but a network that holds it back.
func (p guardedPods) Bind(ctx context.Context, binding *v1.Binding, options metav1.CreateOptions) error {
	err := p.PodInterface.Bind(ctx, binding, options)
	if err == nil || !isDoubtful(err) {
		return err
	}
	klog.FromContext(ctx).Info("Asking whether a pod was bound, since the reply did not tell", "pod", klog.KRef(p.namespace, binding.Name), "err", err)
	isBound := false
	notKnown := doubtBackoff.DelayFunc().Until(ctx, false, true, func(ctx context.Context) (bool, error) {
		list, why := p.PodInterface.List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", binding.Name).String()})
		if why != nil {
			return false, nil
		}
		for _, pod := range list.Items {
			isBound = isBound || pod.Name == binding.Name && pod.UID == binding.UID && pod.Spec.NodeName == binding.Target.Name
		}
		return true, nil
	})
	if notKnown == nil && isBound {
		return nil
	}
	return err
}

// isDoubtful is true if what was asked for may have been done. A conflict is what a request meets that is the second one after
// all, since somebody between here and there has repeated it.
func isDoubtful(err error) bool {
	var status apierrors.APIStatus
	switch {
	case errors.Is(err, errFenced):
		return false
	case apierrors.IsConflict(err):
		return true
	case errors.As(err, &status):
		return status.Status().Code >= 500
	}
	return true
}
