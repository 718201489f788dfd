//go:build cgo

package nvml

import (
	"errors"
	"fmt"
	"time"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// events are XIDs. Whose they are is known from when they were asked for: a GPU that has one may not answer who it is any more.
type events struct {
	driver *driver
	set    gonvml.EventSet
	uuids  map[gonvml.Device]string
}

func (d *driver) Watch(devices []reporter.Device) (reporter.Events, error) {
	e := &events{driver: d, uuids: map[gonvml.Device]string{}}
	if err := d.call("nvmlEventSetCreate", func() (ret gonvml.Return) {
		e.set, ret = d.lib.EventSetCreate()
		return ret
	}); err != nil {
		return nil, err
	}
	for _, v := range devices {
		err := e.register(v.(*device))
		if err != nil && !isOfOne(err) {
			return nil, errors.Join(err, e.Close())
		}
	}
	if len(e.uuids) == 0 { // what waiting for nothing returns, the library does not say
		return nil, errors.Join(fmt.Errorf("XIDs of %d GPUs: %w", len(devices), reporter.NotSupported), e.Close())
	}
	return e, nil
}

// isOfOne is true for an error that says something about one GPU, of which there will be no XIDs.
func isOfOne(err error) bool {
	return errors.Is(err, reporter.NotSupported) || errors.Is(err, reporter.GPULost) || errors.Is(err, reporter.WantsReset)
}

// register asks for what is supported only: anything more is refused.
func (e *events) register(v *device) error {
	uuid, err := v.UUID()
	if err != nil {
		return err
	}
	supported, err := ask(v, "nvmlDeviceGetSupportedEventTypes", v.gpu.GetSupportedEventTypes)
	if err != nil || supported&gonvml.EventTypeXidCriticalError == 0 {
		return err
	}
	err = e.driver.call("nvmlDeviceRegisterEvents", func() gonvml.Return {
		return v.gpu.RegisterEvents(gonvml.EventTypeXidCriticalError, e.set)
	})
	if err == nil {
		e.uuids[v.gpu] = uuid
	}
	return err
}

func (e *events) Next(timeout time.Duration) (event reporter.Event, ok bool, err error) {
	var data gonvml.EventData
	isIdle := false
	err = e.driver.call("nvmlEventSetWait", func() (ret gonvml.Return) {
		data, ret = e.set.Wait(uint32(timeout.Milliseconds()))
		if isIdle = ret == gonvml.ERROR_TIMEOUT; isIdle {
			return gonvml.SUCCESS
		}
		return ret
	})
	if err != nil || isIdle || data.EventType&gonvml.EventTypeXidCriticalError == 0 {
		return event, false, err
	}
	return reporter.Event{UUID: e.uuids[data.Device], XID: int(data.EventData)}, true, nil
}

func (e *events) Close() error {
	return e.driver.call("nvmlEventSetFree", func() gonvml.Return { return e.set.Free() })
}
