package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// own are the folders that every kubelet wants for itself, whatever its configuration says: for the sockets of device plugins,
// and for links to logs.
var own = []string{"/var/lib", "/var/log"}

// tunables are the kernel settings that a kubelet changes for the whole machine.
var tunables = []string{
	"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops",
	"/proc/sys/kernel/keys/root_maxkeys", "/proc/sys/kernel/keys/root_maxbytes",
}

// enter turns this process into the program, in a room of its own: what it would find or leave in these places on the machine it
// finds and leaves below dir. It returns only on an error.
func enter(dir, program string, args []string) error {
	// Whatever is mounted over the program's place: it is open already.
	file, err := os.Open(program)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // a namespace is a thread's, and this one becomes the program
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to it: %w", err)
	}
	for _, path := range tunables {
		value, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		copied := filepath.Join(dir, strings.ReplaceAll(path[1:], "/", "-"))
		if err := os.WriteFile(copied, value, 0o600); err != nil {
			return err
		}
		if err := bind(copied, path); err != nil {
			return err
		}
	}
	for _, path := range own {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			return err
		}
		if err := bind(filepath.Join(dir, path), path); err != nil {
			return err
		}
	}
	return syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), append([]string{program}, args...), os.Environ())
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s over %s: %w", from, to, err)
	}
	return nil
}
