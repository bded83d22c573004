//go:build linux

package peer

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv/command"
)

func constantFlags(fs *flag.FlagSet, o *options) {
	fs.IntVar(&o.valueSize, "value-bytes", 300, "length of the value that GET answers")
}

func pauseFlags(fs *flag.FlagSet, o *options) {
	constantFlags(fs, o)
	fs.IntVar(&o.pauseMS, "pause-ms", 50, "for how long a save stops every client")
	fs.IntVar(&o.saveMS, "save-ms", 500, "how long a save takes")
}

func leakFlags(fs *flag.FlagSet, o *options) {
	constantFlags(fs, o)
	fs.Int64Var(&o.leak, "leak-bytes", 100e6, "how much memory a save takes while it runs")
	fs.IntVar(&o.saveMS, "save-ms", 1000, "how long a save takes")
}

// newNothing makes the server that holds no data.
func newNothing(o *options, _ *slog.Logger) (*contestant, error) {
	if o.valueSize < 0 || o.valueSize > 1<<29 {
		return nil, fmt.Errorf("--value-bytes %d: from 0 to %d", o.valueSize, 1<<29)
	}
	return &contestant{rows: constantRows(o.valueSize)}, nil
}

// constantRows answer as if every key existed. GET and SET are quick rows, as
// kvd's are: what the generator reaches against them is its own limit, or that
// of the event loop, which kvd shares.
func constantRows(valueSize int) []*command.Spec {
	value := make([]byte, valueSize)
	for i := range value {
		value[i] = 'x'
	}
	row := func(name string, h func(x *command.Ctx)) *command.Spec {
		s := command.Row(name)
		s.Handler = h
		return s
	}
	own := func(name string, arity int, h func(x *command.Ctx)) *command.Spec {
		return &command.Spec{Name: name, Arity: arity, Flags: command.Fast, First: 1, Last: 1, Step: 1, Handler: h}
	}
	bulk := func(x *command.Ctx) { x.Bulk(value) }
	return []*command.Spec{
		row("get", bulk),
		row("set", (*command.Ctx).OK),
		row("del", func(x *command.Ctx) { x.Int(int64(len(x.Args) - 1)) }),
		row("mget", func(x *command.Ctx) {
			x.Array(len(x.Args) - 1)
			for range x.Args[1:] {
				x.Bulk(value)
			}
		}),
		row("dbsize", func(x *command.Ctx) { x.Int(0) }),
		// For the shapes of lists and hashes; kvd may not have these rows.
		own("rpush", -3, func(x *command.Ctx) { x.Int(int64(len(x.Args) - 2)) }),
		own("lset", 4, (*command.Ctx).OK),
		own("lindex", 3, bulk),
		own("hset", -4, func(x *command.Ctx) { x.Int(int64(len(x.Args)-2) / 2) }),
		own("hget", 3, bulk),
	}
}

// wait is a save that takes its time and does nothing.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newPause makes the canary that stops everybody.
func newPause(o *options, log *slog.Logger) (*contestant, error) {
	if o.pauseMS < 0 || o.saveMS < 0 {
		return nil, errors.New("--pause-ms and --save-ms are not negative")
	}
	c, err := newNothing(o, log)
	if err != nil {
		return nil, err
	}
	var server *program
	c.attach = func(p *program) { server = p }
	pause, save := time.Duration(o.pauseMS)*time.Millisecond, time.Duration(o.saveMS)*time.Millisecond
	c.saves = []saveKind{{name: "PAUSE", begin: func() (saveJob, error) {
		// Every event loop is between two commands from here on.
		release := server.server.Hold()
		from := time.Now()
		sleepUntil(from.Add(pause))
		held := time.Since(from)
		release()
		return saveJob{paused: held, run: func(ctx context.Context) (saved, error) {
			return saved{}, wait(ctx, save)
		}}, nil
	}}}
	return c, nil
}

// oversleep is more than a timer is ever late on a machine that is not
// overloaded.
const oversleep = 3 * time.Millisecond

// sleepUntil returns at t: timers are late, by up to a few milliseconds, which a
// canary's figure must not be.
func sleepUntil(t time.Time) {
	time.Sleep(time.Until(t) - oversleep)
	for time.Until(t) > 0 {
	}
}

// newLeak makes the canary that takes memory.
func newLeak(o *options, log *slog.Logger) (*contestant, error) {
	if o.leak < 1 || o.leak > 1<<40 || o.saveMS < 0 {
		return nil, errors.New("--leak-bytes is positive, --save-ms not negative")
	}
	c, err := newNothing(o, log)
	if err != nil {
		return nil, err
	}
	save := time.Duration(o.saveMS) * time.Millisecond
	c.saves = []saveKind{{name: "LEAK", begin: func() (saveJob, error) {
		return saveJob{run: func(ctx context.Context) (saved, error) {
			// Not from the Go heap: it is gone at once when it is given back.
			m, err := unix.Mmap(-1, 0, int(o.leak), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			if err != nil {
				return saved{}, fmt.Errorf("taking %d bytes: %w", o.leak, err)
			}
			for i := 0; i < len(m); i += os.Getpagesize() {
				m[i] = 1
			}
			err = wait(ctx, save)
			return saved{}, errors.Join(err, unix.Munmap(m))
		}}, nil
	}}}
	return c, nil
}
