package scheduler

import (
	"context"
	"fmt"
	"net"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	configconversion "k8s.io/kubernetes/pkg/scheduler/apis/config/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/coscheduling"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/native"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/scribe"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
	gangplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gang"
	gpuplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

// dialects in their order of precedence for a pod that carries the keys of several: Kubernetes' own first, since the API
// server vouches for it.
func dialects() []gang.Dialect {
	return []gang.Dialect{native.New(), volcano.New(), coscheduling.New()}
}

// setup builds the scheduler, and starts all of ours that runs beside its core.
func setup(ctx context.Context, opts *options.Options) (*appconfig.CompletedConfig, *core.Scheduler, error) {
	if err := setOurGates(); err != nil {
		return nil, nil, err
	}
	// The loader decodes and defaults plugin arguments with the one scheme, and makes them internal with the other.
	for _, s := range []*runtime.Scheme{scheme.Scheme, configconversion.GetPluginArgConversionScheme()} {
		for _, add := range []func(*runtime.Scheme) error{gangplugin.AddToScheme, gpuplugin.AddToScheme} {
			if err := add(s); err != nil {
				return nil, nil, err
			}
		}
	}
	c, err := configure(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	kubeConfig := rest.AddUserAgent(c.KubeConfig, "scheduler")
	f := newFence(c.ComponentConfig.LeaderElection.LeaseDuration.Duration, clock.RealClock{})
	if c.ComponentConfig.LeaderElection.LeaderElect {
		kubeConfig = f.guard(kubeConfig)
	}
	client, err := kubernetes.NewForConfig(kubeConfig)
	if err != nil {
		return nil, nil, err
	}
	if err := fitGates(ctx, client.Discovery()); err != nil {
		return nil, nil, err
	}

	edge, err := newEdge(kubeConfig, &c.ComponentConfig)
	if err != nil {
		return nil, nil, err
	}
	c.Client = guardedClient{client, edge.ledger}
	c.InformerFactory = edge.informers(client, opts)
	dynamicClient, err := dynamic.NewForConfig(c.KubeConfig)
	if err != nil {
		return nil, nil, err
	}
	c.DynInformerFactory = dynamicinformer.NewDynamicSharedInformerFactory(dynamicClient, 0)
	if err := electAndRecord(ctx, c, f); err != nil {
		return nil, nil, err
	}

	cc := c.Complete()
	sched, err := newCore(ctx, opts, &cc, edge)
	if err != nil {
		return nil, nil, err
	}
	if err := runBeside(ctx, &cc, sched, edge); err != nil {
		return nil, nil, err
	}
	return &cc, sched, nil
}

// newCore builds kube-scheduler's core and puts our answers where it asks for them.
func newCore(ctx context.Context, opts *options.Options, cc *appconfig.CompletedConfig, edge *edge) (*core.Scheduler, error) {
	var profiles []config.KubeSchedulerProfile
	sched, err := core.New(ctx, cc.Client, cc.InformerFactory, cc.DynInformerFactory,
		guardedRecorders(cc.EventBroadcaster, edge.ledger),
		core.WithComponentConfigVersion(cc.ComponentConfig.TypeMeta.APIVersion),
		core.WithKubeConfig(cc.KubeConfig),
		core.WithProfiles(cc.ComponentConfig.Profiles...),
		core.WithPercentageOfNodesToScore(cc.ComponentConfig.PercentageOfNodesToScore),
		core.WithFrameworkOutOfTreeRegistry(frameworkruntime.Registry{
			gangplugin.Name:     gangplugin.Factory(edge.ledger, edge.hyperNodes, edge.fleet),
			gangplugin.SortName: gangplugin.SortFactory(edge.ledger),
			gpuplugin.Name:      gpuplugin.Factory(edge.fleet),
		}),
		core.WithPodMaxBackoffSeconds(cc.ComponentConfig.PodMaxBackoffSeconds),
		core.WithPodInitialBackoffSeconds(cc.ComponentConfig.PodInitialBackoffSeconds),
		core.WithPodMaxInUnschedulablePodsDuration(cc.PodMaxInUnschedulablePodsDuration),
		core.WithExtenders(cc.ComponentConfig.Extenders...),
		core.WithParallelism(cc.ComponentConfig.Parallelism),
		core.WithBuildFrameworkCapturer(func(profile config.KubeSchedulerProfile) { profiles = append(profiles, profile) }),
	)
	if err != nil {
		return nil, err
	}
	if err := options.LogOrWriteConfig(klog.FromContext(ctx), opts.WriteConfigTo, &cc.ComponentConfig, profiles); err != nil {
		return nil, err
	}
	gangplugin.Attach(sched)
	sched.FailureHandler = quietAboutMembers(sched.FailureHandler)
	return sched, nil
}

// runBeside starts what feeds the core, and has what writes and wakes start when this replica leads.
func runBeside(ctx context.Context, cc *appconfig.CompletedConfig, sched *core.Scheduler, edge *edge) error {
	writer := scribe.New(scribe.Options{
		Ledger:  edge.ledger,
		Queue:   edge.queue,
		Client:  edge.client,
		Dynamic: edge.dynamic,
		Events:  cc.EventBroadcaster.NewRecorder(cc.ComponentConfig.Profiles[0].SchedulerName),
		Owners:  volcanoJobs(edge.dynamic),
		Clock:   clock.RealClock{},
	})
	lot := edge.ledger.Lot()
	waker := newWaker(refusedAnd(edge.ledger), sched.SchedulingQueue.Activate, lot, clock.RealClock{})
	if err := waker.watch(cc.InformerFactory); err != nil {
		return err
	}
	if err := edge.fleet.Watch(cc.InformerFactory); err != nil {
		return err
	}
	// Pods and gangs that a report kept waiting are tried again when it goes stale, or ceases to be, of which no object tells.
	wake := func(node *v1.Node) {
		sched.SchedulingQueue.MoveAllToActiveOrBackoffQueue(klog.FromContext(ctx), gpuplugin.FreshnessEvent, node, node, nil)
		lot.HasRoom()
	}
	surveyor := &surveyor{
		hyperNodes: edge.hyperNodes,
		nodes:      cc.InformerFactory.Core().V1().Nodes().Lister(),
		events:     cc.EventBroadcaster.NewRecorder(cc.ComponentConfig.Profiles[0].SchedulerName),
		hasRoom:    lot.HasRoom,
		clock:      clock.RealClock{},
	}
	measured, err := meters(cc, sched, edge)
	if err != nil {
		return err
	}
	edge.mender.events = surveyor.events
	onceLeading(sched, func() {
		legacyregistry.CustomMustRegister(measured...)
		legacyregistry.MustRegister(RepairsEnded)
		go writer.Run(ctx)
		go waker.run(ctx)
		go followPlaces(ctx, edge.ledger.Places().Freed(), lot.HasRoom)
		go edge.mender.run(ctx)
		go surveyor.run(ctx)
		go edge.fleet.Run(ctx, surveyor.events, wake)
	})
	go edge.sources.run(ctx)
	go edge.ledger.RunRepairs(ctx)
	go func() {
		select {
		case <-edge.fleet.Reporting():
			followLeases(ctx, edge.client, edge.fleet.ReporterNamespace(), edge.fleet.Leases())
		case <-ctx.Done():
		}
	}()
	return nil
}

// configure reads and checks flags and configuration file.
func configure(ctx context.Context, opts *options.Options) (*appconfig.Config, error) {
	defaults, err := defaultConfig()
	if err != nil {
		return nil, err
	}
	opts.ComponentConfig = defaults
	if errs := opts.Validate(); len(errs) > 0 {
		return nil, errors.NewAggregate(errs)
	}
	if err := opts.SecureServing.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, fmt.Errorf("create self-signed certificates: %w", err)
	}
	c := &appconfig.Config{ComponentGlobalsRegistry: opts.ComponentGlobalsRegistry}
	if err := opts.ApplyTo(klog.FromContext(ctx), c); err != nil {
		return nil, err
	}
	if err := ourDefaults(&c.ComponentConfig, opts.ConfigFile); err != nil {
		return nil, err
	}
	c.KubeConfig.QPS, c.KubeConfig.Burst = c.ComponentConfig.ClientConnection.QPS, int(c.ComponentConfig.ClientConnection.Burst)
	for i := range c.ComponentConfig.Profiles {
		useOurPlugins(&c.ComponentConfig.Profiles[i])
	}
	return c, nil
}

// quietAboutMembers keeps the core from reporting each member of a gang that was refused as an error of the scheduler, which
// it takes every refusal for that is not about nodes. The gang itself is reported once per try.
func quietAboutMembers(handle core.FailureHandlerFn) core.FailureHandlerFn {
	return func(ctx context.Context, profile framework.Framework, info *framework.QueuedPodInfo, status *fwk.Status, nominating *fwk.NominatingInfo, start time.Time) {
		if info.Pod.Spec.SchedulingGroup != nil && status.IsRejected() {
			ctx = klog.NewContext(ctx, klog.FromContext(ctx).V(memberVerbosity))
			if _, isAboutNodes := status.AsError().(*framework.FitError); !isAboutNodes { //nolint:errorlint // the core looks at it in the same way
				status = fwk.NewStatus(status.Code()).WithError(&framework.FitError{
					Pod:       info.Pod,
					Diagnosis: framework.Diagnosis{NodeToStatus: framework.NewDefaultNodeToStatus(), UnschedulablePlugins: sets.New(gangplugin.Name)},
				})
			}
		}
		handle(ctx, profile, info, status, nominating, start)
	}
}

// memberVerbosity is what is added to the verbosity of the core's messages about single members.
const memberVerbosity = 3

// onceLeading calls f when the core asks for its first pod: that is when this replica leads, and not before.
func onceLeading(sched *core.Scheduler, f func()) {
	next, isFirst := sched.NextEntity, true
	sched.NextEntity = func(logger klog.Logger) (framework.QueuedEntityInfo, error) {
		if isFirst { // the core calls from one goroutine
			isFirst = false
			f()
		}
		return next(logger)
	}
}

var (
	_ gangplugin.Account    = &ledger.Ledger{}
	_ gangplugin.HyperNodes = &hypernode.Set{}
)
