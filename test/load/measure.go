package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "load"}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics", "/debug/*"}, Verbs: []string{"get"}}}}
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
		last, err := l.metric(ctx, "go_memstats_last_gc_time_seconds")
		if err != nil {
			return false, err
		}
		if first == 0 {
			first = last
		}
		if last == first {
			return false, nil
		}
		heap, err = l.metric(ctx, "go_memstats_heap_alloc_bytes")
		return true, err
	})
	return heap, err
}

// counts are what the scheduler has done since its start: requests to the API server, pods and gangs tried, and gangs refused again
// without being solved.
type counts struct{ requests, tries, repeated float64 }

func (l *load) counts(ctx context.Context) (c counts, err error) {
	for name, into := range map[string]*float64{
		"rest_client_requests_total": &c.requests, "scheduler_podgroup_schedule_attempts_total": &c.tries, "phalanx_refusals_repeated_total": &c.repeated,
	} {
		if *into, err = l.metric(ctx, name); err != nil {
			return c, err
		}
	}
	return c, nil
}

// metric is the sum of a metric's series, gauges or counters; 0 if there is none yet.
func (l *load) metric(ctx context.Context, name string) (float64, error) {
	status, text := cluster.Ask(ctx, l.scheduler.Address, "/metrics", l.token)
	if status != http.StatusOK {
		return 0, fmt.Errorf("/metrics: %d %s", status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, series := range families[name].GetMetric() {
		sum += series.GetGauge().GetValue() + series.GetCounter().GetValue()
	}
	return sum, nil
}

// withProfiles is what the manifests configure, with what tells where time goes.
const withProfiles = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
enableProfiling: true
profiles:
- schedulerName: phalanx
`

// profile takes CPU profiles of five seconds each until what it returns is called. What goes wrong with it is said, and stops nothing.
func (l *load) profile(ctx context.Context, what string) (done func()) {
	if l.profiles == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	address, finished := l.scheduler.Address, make(chan struct{})
	go func() {
		defer close(finished)
		for i := 0; ; i++ {
			status, text := cluster.Ask(ctx, address, "/debug/pprof/profile?seconds=5", l.token)
			if ctx.Err() != nil {
				return
			}
			if status == 0 || status == http.StatusForbidden { // it does not serve yet, or does not know who may look
				if sleep(ctx, 50*time.Millisecond) != nil {
					return
				}
				continue
			}
			err := fmt.Errorf("status %d: %s", status, text)
			if status == http.StatusOK {
				err = os.WriteFile(filepath.Join(l.profiles, fmt.Sprintf("%s-%d.pprof", strings.ReplaceAll(what, " ", "-"), i)), []byte(text), 0o644)
			}
			if err != nil {
				l.say("no profile of %s: %v", what, err)
				return
			}
		}
	}()
	return func() { cancel(); <-finished }
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
