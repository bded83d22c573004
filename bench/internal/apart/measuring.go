//go:build linux && (amd64 || arm64)

package apart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"kvd/bench/internal/host"
)

// measuring is a running process of this program that measures.
type measuring struct {
	cmd    *exec.Cmd
	lines  *json.Decoder
	stderr bytes.Buffer // to be read after wait
	wait1  func()       // idempotent
}

// startMeasuring starts one; it is killed when ctx ends, and its children with it.
func startMeasuring(ctx context.Context, args ...string) (*measuring, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := &measuring{cmd: exec.CommandContext(ctx, exe, append([]string{childCommand}, args...)...)}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.cmd.Stderr = &m.stderr
	m.cmd.WaitDelay = time.Second
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := host.Spawn(m.cmd); err != nil {
		return nil, fmt.Errorf("start a measuring process: %w", err)
	}
	m.lines = json.NewDecoder(out)
	m.wait1 = sync.OnceFunc(func() { _ = m.cmd.Wait() }) // ProcessState tells
	return m, nil
}

// next returns the next point, io.EOF after the last one.
func (m *measuring) next() (p point, err error) {
	err = m.lines.Decode(&p)
	return p, err
}

// wait returns how the process ended and what it said on standard error.
func (m *measuring) wait() (*os.ProcessState, string) {
	m.wait1()
	return m.cmd.ProcessState, m.stderr.String()
}

// failure returns why the process ended, cause if it does not say.
func (m *measuring) failure(cause error) error {
	m.stop()
	if text := bytes.TrimSpace(m.stderr.Bytes()); len(text) > 0 {
		return errors.New(string(text[:min(len(text), 500)]))
	}
	return fmt.Errorf("the measuring process ended: %s (%w)", m.cmd.ProcessState, cause)
}

// stop kills the process if it still runs.
func (m *measuring) stop() {
	_ = m.cmd.Process.Kill()
	m.wait1()
}

// figures is what was measured, by name and size; why tells what was not.
type figures struct {
	values map[point]float64 // keys have Name and Size only
	sizes  map[string][]int64
	why    map[string]string // by name or its first part: "huge", "talk"
}

func newFigures() *figures {
	return &figures{map[point]float64{}, map[string][]int64{}, map[string]string{}}
}

func (f *figures) add(p point) {
	if p.Note != "" {
		f.why[p.Name] = p.Note
		return
	}
	f.values[point{Name: p.Name, Size: p.Size}] = p.Value
	f.sizes[p.Name] = append(f.sizes[p.Name], p.Size)
}

// collect runs a measuring process to its end, adds what it prints and shows it
// to seen. A failure is the reason for what is missing of part; what came before
// it stays.
func (f *figures) collect(ctx context.Context, part string, seen func(point), args ...string) {
	m, err := startMeasuring(ctx, args...)
	if err == nil {
		defer m.stop()
		for err == nil {
			var p point
			if p, err = m.next(); err == nil {
				f.add(p)
				seen(p)
			}
		}
		if err == io.EOF {
			if state, _ := m.wait(); state.Success() {
				return
			}
		}
		err = m.failure(err)
	}
	if ctx.Err() != nil {
		err = outOfTime(ctx)
	}
	f.why[part] = err.Error()
}

// outOfTime words the end of ctx.
func outOfTime(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("the time for this section was over")
	}
	return errors.New("interrupted")
}
