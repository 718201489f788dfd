package scheduler

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestWhetherAPodWasBoundIsNotGuessed(t *testing.T) {
	bindings := schema.GroupResource{Resource: "pods/binding"}
	reset := &url.Error{Op: "Post", Err: errors.New("connection reset by peer")}
	for name, test := range map[string]struct {
		reply     error
		node, uid string // of the pod, as the API server has it then
		isGone    bool
		deaf      int // how often the API server does not answer when it is asked
		wantAsked int
		wantErr   bool
	}{
		"a reply that says so is believed":                      {reply: nil},
		"a refusal is believed":                                 {reply: apierrors.NewForbidden(bindings, "p", nil), wantErr: true},
		"so is the pod's absence":                               {reply: apierrors.NewNotFound(bindings, "p"), wantErr: true},
		"so is a request for patience":                          {reply: apierrors.NewTooManyRequests("later", 1), wantErr: true},
		"what was not sent was not done":                        {reply: &url.Error{Op: "Post", Err: errFenced}, wantErr: true},
		"after a reset it is bound":                             {reply: reset, node: "n", wantAsked: 1},
		"after a reset it is not":                               {reply: reset, wantAsked: 1, wantErr: true},
		"after a reset it is on another node":                   {reply: reset, node: "m", wantAsked: 1, wantErr: true},
		"after a reset it is another pod of the name":           {reply: reset, node: "n", uid: "other", wantAsked: 1, wantErr: true},
		"after a reset it is gone":                              {reply: reset, isGone: true, wantAsked: 1, wantErr: true},
		"after an internal error it is bound":                   {reply: apierrors.NewInternalError(errors.New("etcd")), node: "n", wantAsked: 1},
		"after a timeout it is bound":                           {reply: context.DeadlineExceeded, node: "n", wantAsked: 1},
		"a request that was repeated on its way met itself":     {reply: apierrors.NewConflict(bindings, "p", nil), node: "n", wantAsked: 1},
		"somebody else was first":                               {reply: apierrors.NewConflict(bindings, "p", nil), node: "m", wantAsked: 1, wantErr: true},
		"it is asked again and again while nobody answers":      {reply: reset, node: "n", deaf: 20, wantAsked: 21},
		"and is not bound, as is known when somebody does, too": {reply: reset, deaf: 20, wantAsked: 21, wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pod("p", "")
				p.UID, p.Spec.NodeName = "uid", test.node
				if test.uid != "" {
					p.UID = "other"
				}
				objects := []runtime.Object{p}
				if test.isGone {
					objects = nil
				}
				backend := fake.NewClientset(objects...)
				backend.PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, test.reply })
				asked := 0
				backend.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
					asked++
					return asked <= test.deaf, nil, errors.New("no answer")
				})
				begin := time.Now()
				err := guardedClient{backend, newLedger(t)}.CoreV1().Pods("ns").Bind(t.Context(), &v1.Binding{
					ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "uid"}, Target: v1.ObjectReference{Kind: "Node", Name: "n"},
				}, metav1.CreateOptions{})
				if test.wantErr {
					require.Equal(t, test.reply, err)
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, test.wantAsked, asked)
				require.LessOrEqual(t, time.Since(begin), time.Duration(asked)*6*time.Second)
			})
		})
	}
}

func TestNobodyIsAskedForeverWhetherAPodWasBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := fake.NewClientset()
		broken := func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("no answer") }
		backend.PrependReactor("*", "pods", broken)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := guardedClient{backend, newLedger(t)}.CoreV1().Pods("ns").Bind(ctx, &v1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}}, metav1.CreateOptions{})
		require.EqualError(t, err, "no answer")
		require.Error(t, ctx.Err(), "not before the context was done")
	})
}
