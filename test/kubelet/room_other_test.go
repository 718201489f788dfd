//go:build !linux

package kubelet

import "errors"

func enter(string, string, []string) error { return errors.New("a kubelet needs Linux") }
