package scheduler

import (
	"context"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	componentconfig "k8s.io/component-base/config"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
)

// electAndRecord fills in the event broadcaster and the leader election, which tells the fence who leads.
func electAndRecord(ctx context.Context, c *appconfig.Config, f *fence) error {
	client, err := kubernetes.NewForConfig(c.KubeConfig)
	if err != nil {
		return err
	}
	c.EventBroadcaster = events.NewEventBroadcasterAdapterWithContext(ctx, client)
	if !c.ComponentConfig.LeaderElection.LeaderElect {
		return nil
	}
	c.LeaderElection, err = leaderElection(c.ComponentConfig.LeaderElection, c.KubeConfig,
		c.EventBroadcaster.DeprecatedNewLegacyRecorder(c.ComponentConfig.Profiles[0].SchedulerName))
	if err != nil {
		return err
	}
	c.LeaderElection.Lock = fencedLock{c.LeaderElection.Lock, f}
	return nil
}

func leaderElection(cfg componentconfig.LeaderElectionConfiguration, kubeConfig *rest.Config, recorder record.EventRecorder) (*leaderelection.LeaderElectionConfig, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this host for the leader election: %w", err)
	}
	// Two processes on one host must not take each other for themselves.
	identity := host + "_" + string(uuid.NewUUID())
	lock, err := resourcelock.NewFromKubeconfig(cfg.ResourceLock, cfg.ResourceNamespace, cfg.ResourceName,
		resourcelock.ResourceLockConfig{Identity: identity, EventRecorder: recorder}, kubeConfig, cfg.RenewDeadline.Duration)
	if err != nil {
		return nil, fmt.Errorf("create the leader election lock: %w", err)
	}
	return &leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   cfg.LeaseDuration.Duration,
		RenewDeadline:   cfg.RenewDeadline.Duration,
		RetryPeriod:     cfg.RetryPeriod.Duration,
		WatchDog:        leaderelection.NewLeaderHealthzAdaptor(cfg.LeaseDuration.Duration + cfg.RetryPeriod.Duration),
		Name:            Name,
		ReleaseOnCancel: true,
	}, nil
}
