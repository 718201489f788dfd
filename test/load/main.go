// Command load fills a control plane as a large cluster does, and measures what the scheduler takes to live with it: from its start
// to the first bind, its CPU and memory at rest and under churn, and among hostile objects.
//
//	go run ./test/load                                  as docs/benchmarks.md has it; takes about half an hour
//	go run ./test/load -nodes 500 -pods 4000 -gangs 200 less
//
// Each node has a GPU report and eight pods that hold a GPU each, in gangs of 32 that show what they hold; each gang that waits asks
// for four whole nodes under one switch. The scheduler is the program that make build makes, under the rights and the memory limit of
// the manifests. API server, etcd, this program and the scheduler share the machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"k8s.io/client-go/kubernetes"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/parking"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

func main() {
	var s size
	flag.IntVar(&s.nodes, "nodes", 5000, "nodes with 8 GPUs")
	flag.IntVar(&s.pods, "pods", 40000, "pods that run")
	flag.IntVar(&s.gangs, "gangs", 2000, "gangs of 4 that wait")
	flag.IntVar(&s.hostile, "hostile", 10000, "hostile objects at the end")
	flag.IntVar(&s.room, "room", 20, "gangs that find room at each start")
	flag.IntVar(&s.starts, "starts", 4, "how often the scheduler starts with all of it, at least 2")
	flag.DurationVar(&s.rest, "rest", time.Minute, "how long it is watched at rest")
	flag.DurationVar(&s.settled, "settled", parking.Longest, "how long it is watched at rest once it has stopped to try refused gangs again")
	flag.DurationVar(&s.churn, "churn", 2*time.Minute, "how long it is watched while gangs come and go")
	flag.BoolVar(&s.heap, "heap", true, "wait for the garbage collector, so that what is in use can be told")
	flag.StringVar(&s.profiles, "profiles", "", "a folder for CPU profiles")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	if err := measure(ctx, s, say); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// measure runs a load of this size on a control plane of its own.
func measure(ctx context.Context, s size, say func(format string, args ...any)) (err error) {
	if s.starts < 2 {
		return fmt.Errorf("-starts is %d: it must be at least 2", s.starts)
	}
	if _, err := cluster.BuildScheduler(ctx); err != nil {
		return err
	}
	if err := limitMemory(); err != nil {
		return err
	}
	c, err := cluster.Start(ctx, cluster.Options{Options: controlplane.Options{Progress: os.Stderr}})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := c.Stop(); err == nil {
			err = stopErr
		}
	}()
	config := c.AdminConfig()
	config.ContentType = runtime.ContentTypeProtobuf
	if c.Client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	crowd, err := newCrowd(c)
	if err != nil {
		return err
	}
	l := &load{crowd: crowd, size: s, say: say}
	return l.run(ctx)
}

// limitMemory gives the scheduler the limit for Go's memory that the manifests do.
func limitMemory() error {
	objects, err := cluster.Render("manifests/default")
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
			return err
		}
		for _, env := range d.Spec.Template.Spec.Containers[0].Env {
			if env.Name == "GOMEMLIMIT" {
				return os.Setenv(env.Name, env.Value)
			}
		}
	}
	return fmt.Errorf("manifests/default has no Deployment with GOMEMLIMIT")
}
