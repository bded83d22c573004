//go:build linux

package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const module = "kvd"

// BuildKvd returns the path of a kvd to measure: $KVD_BIN, or one that it builds
// from the source tree around the current directory or, failing that, the one
// that this program was built from. cleanup removes what was built; it is never
// nil.
func BuildKvd(ctx context.Context) (path string, cleanup func(), err error) {
	cleanup = func() {}
	if bin := os.Getenv("KVD_BIN"); bin != "" {
		if path, err = exec.LookPath(bin); err != nil {
			return "", cleanup, fmt.Errorf("KVD_BIN: %w", err)
		}
		path, err = filepath.Abs(path)
		return path, cleanup, err
	}
	root, err := sourceTree()
	if err != nil {
		return "", cleanup, err
	}
	goBin, err := exec.LookPath("go")
	if err != nil {
		return "", cleanup, fmt.Errorf("no kvd to measure: building one needs the go command; or set KVD_BIN to a kvd: %w", err)
	}
	dir, err := os.MkdirTemp("", "kvd-bin-")
	if err != nil {
		return "", cleanup, err
	}
	path = filepath.Join(dir, "kvd")
	build := exec.CommandContext(ctx, goBin, "build", "-o", path, "./cmd/kvd")
	build.Dir = root
	// Killed with its compilers, it leaves nothing but what is in dir.
	build.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	build.Cancel = func() error { return syscall.Kill(-build.Process.Pid, syscall.SIGKILL) }
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "GOTMPDIR="+dir)
	if out, err := build.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return "", cleanup, fmt.Errorf("building kvd in %s: %w\n%s", root, because(ctx, err), out)
	}
	return path, func() { _ = os.RemoveAll(dir) }, nil
}

// sourceTree finds the module's root.
func sourceTree() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) { // not under -trimpath
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for {
			if declares(filepath.Join(dir, "go.mod")) {
				return dir, nil
			}
			up := filepath.Dir(dir)
			if up == dir {
				break
			}
			dir = up
		}
	}
	return "", errors.New("no kvd to measure: run this in kvd's source tree, or set KVD_BIN to a kvd")
}

// declares tells whether a go.mod is this module's.
func declares(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "module "+module {
			return true
		}
	}
	return false
}
