package scribe

import (
	"context"
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
)

const patchType = types.StrategicMergePatchType

// conditionPatch changes one condition of a pod that is as it was read: the uid makes it miss another pod of the same name,
// the version one that has been bound since, which must not be told that it waits.
func conditionPatch(pod *v1.Pod, condition v1.PodCondition) ([]byte, error) {
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"status":   map[string]any{"conditions": []v1.PodCondition{condition}},
	})
}

// writeStatus writes the PodGroup's status in its dialect's words, if the group is ours and says something else.
func (s *Scribe) writeStatus(ctx context.Context, key gang.Key, state ledger.State) error {
	dialect := s.Ledger.Dialect(key.Dialect)
	if dialect == nil || state.Object == nil {
		return nil
	}
	isOurs, err := s.isOurs(ctx, state)
	if err != nil || !isOurs {
		return err
	}
	want := dialect.Status(state.Object, state.Progress, metav1.NewTime(s.Clock.Now()))
	if want == nil {
		return nil
	}
	groups := s.Dynamic.Resource(dialect.Resource()).Namespace(key.Namespace)
	if key.Dialect == gang.NativeName {
		// The core patches the same status.
		var patch []byte
		if patch, err = statusPatch(want); err == nil {
			_, err = groups.Patch(ctx, key.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		}
	} else if dialect.HasStatusSubresource() {
		_, err = groups.UpdateStatus(ctx, want, metav1.UpdateOptions{})
	} else {
		_, err = groups.Update(ctx, want, metav1.UpdateOptions{})
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // a newer object is on its way to the ledger, and with it the next look
	}
	return err
}

// statusPatch replaces the status of an object that is as it was read.
func statusPatch(object *unstructured.Unstructured) ([]byte, error) {
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": object.GetUID(), "resourceVersion": object.GetResourceVersion()},
		"status":   object.Object["status"],
	})
}

// VolcanoProfile is the scheduler name that operators of the Volcano dialect hard-code.
const VolcanoProfile = "volcano"

// isOurs tells whether a group's status is ours to write. A PodGroup names no scheduler: its pods do, and before it has
// any, its owner may. Where neither says anything, whoever serves Volcano's own name serves the group.
func (s *Scribe) isOurs(ctx context.Context, state ledger.State) (bool, error) {
	if state.HasMembers || state.HasStrangers {
		return state.HasMembers, nil
	}
	for _, owner := range state.Group.Owners {
		name, known, err := s.Owners(ctx, state.Group.Namespace, owner)
		if err != nil {
			return false, err
		}
		if known {
			return s.Ledger.Serves(name), nil
		}
	}
	return s.Ledger.Serves(VolcanoProfile), nil
}
