package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// watchMetrics makes an account that may get metrics.
func (l *load) watchMetrics(ctx context.Context) error {
	account := &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "load"}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "load"}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "load"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "load"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "load"}},
	}
	_, err1 := l.Client.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
	_, err2 := l.Client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
	_, err3 := l.Client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	hours := int64(6 * 3600)
	token, err := l.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, "load",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hours}}, metav1.CreateOptions{})
	l.token = token.Status.Token
	return err
}

// heapInUse waits for the garbage collector and returns what it left, in bytes.
func (l *load) heapInUse(ctx context.Context) (heap float64, err error) {
	first := 0.0
	err = wait.PollUntilContextTimeout(ctx, 2*time.Second, patience, true, func(ctx context.Context) (bool, error) {
		last, err := l.gauge(ctx, "go_memstats_last_gc_time_seconds")
		if err != nil {
			return false, err
		}
		if first == 0 {
			first = last
		}
		if last == first {
			return false, nil
		}
		heap, err = l.gauge(ctx, "go_memstats_heap_alloc_bytes")
		return true, err
	})
	return heap, err
}

func (l *load) gauge(ctx context.Context, name string) (float64, error) {
	status, text := cluster.Ask(ctx, l.scheduler.Address, "/metrics", l.token)
	if status != http.StatusOK {
		return 0, fmt.Errorf("/metrics: %d %s", status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return 0, err
	}
	family := families[name]
	if family == nil || len(family.Metric) == 0 || family.Metric[0].Gauge == nil {
		return 0, fmt.Errorf("/metrics has no gauge %s", name)
	}
	return family.Metric[0].Gauge.GetValue(), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
