package controlplane

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/wait"
)

// portAttempts is how often something is started that needs free ports.
const portAttempts = 3

// withFreshPorts tries again when somebody took a port between the moment it was found free and the moment it was listened
// on. That is rare, and would otherwise be the flake of every test that starts a control plane.
func withFreshPorts(start func() error) error {
	var err error
	for range portAttempts {
		err = start()
		if err == nil || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
	return err
}

// expectation is something that comes true soon after a process was started.
type expectation struct {
	// what, for the message when it does not.
	what string
	// log is the file that will tell why.
	log string
	// process is what must run meanwhile; nil if that cannot be seen.
	process *Process
}

// wait returns when the check is without an error. Its errors are kept for the message, not acted on: everything fails for
// a moment while it starts.
func (e expectation) wait(ctx context.Context, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, startTimeout, true, func(ctx context.Context) (bool, error) {
		if e.process != nil && e.process.Failure() != nil {
			return false, e.process.Failure()
		}
		last = check(ctx)
		return last == nil, nil
	})
	if err == nil {
		return nil
	}
	if e.process != nil && e.process.Failure() != nil {
		return e.process.Failure()
	}
	if last != nil {
		err = fmt.Errorf("%w (last: %w)", err, last)
	}
	return withTail(fmt.Errorf("waiting for %s: %w", e.what, err), e.log)
}
