package snapshot

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// withoutFork skips a test that saves by fork.
func withoutFork(t *testing.T) {
	t.Helper()
	if fork.RaceEnabled {
		t.Skip("no fork under the race detector")
	}
}

// In a server that runs, AUTO saves by fork where that costs nothing, and by
// thread for each reason that there can be; INFO and the log name it.
func TestAutoLive(t *testing.T) {
	withoutFork(t)
	s := openStore(t, kv.Options{})
	for i := range 1000 {
		set(t, s, 0, fmt.Sprint("key:", i), "value", 0)
	}
	r := newRig(t, s, Auto)
	r.stopClock()
	check := func(what string, want Engine, words string) {
		t.Helper()
		r.log.b.Reset()
		r.start("")
		in := r.wait()
		if in.LastType != want.String() || !strings.Contains(in.LastAutoReason, words) || !in.LastBgsaveOK ||
			!maps.Equal(readDump(t, r.path()), contents(s)) {
			t.Fatalf("%s: %s since %q, want %v since %q", what, in.LastType, in.LastAutoReason, want, words)
		}
		for _, line := range []string{"Background saving started by", "Background saving terminated with success"} {
			_, line, _ := strings.Cut(r.log.String(), line)
			if line, _, _ = strings.Cut(line, "\n"); !strings.Contains(line, fmt.Sprintf("(engine %v, chosen since %s, ", want, in.LastAutoReason)) {
				t.Errorf("%s: the log says %s", what, line)
			}
		}
	}
	quick := func() { r.stat.clone = 300 * time.Microsecond } // whatever it was on a busy machine
	check("nothing known", Fork, "a clone of ")
	quick()
	check("a quick clone", Fork, "the last clone took ")

	r.stat.clone = 20 * time.Millisecond
	check("a slow clone", Thread, "the last clone took 20.0 ms")
	for range cloneMemory {
		r.stat.sinceClone++
	}
	check("long ago", Fork, "a clone of ")

	r.stat.overran = Fork
	check("the limit of fork", Thread, "by fork, reached save-memory-limit")
	if r.stat.overran != 0 {
		t.Error("the limit is remembered")
	}
	r.stat.overran = Thread
	check("the limit of thread", Fork, "by thread, reached save-memory-limit")
	r.cron() // the rate is counted from here
	for range 2 {
		for i := range 60_000 {
			set(t, s, 0, fmt.Sprint("key:", i%1000), "value", 0)
		}
		r.clock.Add(1)
		r.cron()
	}
	quick()
	check("many writes", Thread, " writes per second, 20000 at most")
	if rate := r.rate.perSecond(); rate < 20_000 || rate > 60_000 {
		t.Errorf("%.0f writes per second were counted", rate)
	}
	for range 5 {
		r.clock.Add(1)
		r.cron()
	}
	quick()
	check("a second of rest", Fork, "writes per second and ")

	// A clone that the system refuses, or a child that somebody kills.
	for what, fail := range map[string]func(){
		"child was ended by signal 9": func() {
			r.change(func(s *Settings) { s.RateLimit = 100 })
			r.start("fork")
			pid := r.Info().ChildPID
			if pid == 0 {
				t.Fatal("no child")
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			r.wait()
			r.change(func(s *Settings) { s.RateLimit = 0 })
		},
		"fork: closed": func() {
			r.forker.Close()
			if _, err := r.Start("fork", false); err == nil {
				t.Error("forked all the same")
			}
			r.forker = fork.New()
		},
	} {
		fail()
		if in := r.Info(); in.LastBgsaveOK || !strings.Contains(in.LastError, what) {
			t.Errorf("%s: %+v", what, in)
		}
		check(what, Thread, what)
		quick()
		check("it is tried again", Fork, "the last clone took ")
	}

	// An engine that was asked for, or configured, is nobody's choice.
	reason := r.Info().LastAutoReason
	for _, ask := range []bool{true, false} {
		r.log.b.Reset()
		if !ask {
			r.change(func(s *Settings) { s.Engine = Thread })
		}
		r.start(map[bool]string{true: "thread"}[ask])
		if in := r.wait(); in.LastType != "thread" || in.LastAutoReason != reason || strings.Contains(r.log.String(), "chosen") {
			t.Errorf("%+v\n%s", in, r.log.String())
		}
		r.logged("(engine thread, asked for by BGSAVE, ")
	}
	quick()
	r.start("auto")
	if in := r.wait(); in.LastType != "fork" {
		t.Errorf("%+v", in)
	}
}

// What the machine says is asked for at each save, and decides.
func TestAutoInputsDecide(t *testing.T) {
	s := openStore(t, kv.Options{})
	r := newRig(t, s, Auto)
	live := storeInputs(s)
	if live.CanFork == fork.RaceEnabled || live.Free == 0 || live.EntrySize != 0 || live.Huge && (live.HugeShare < 0 || live.HugeShare > 1) {
		t.Errorf("%+v", live)
	}
	set(t, s, 0, "key", strings.Repeat("v", 1000), 0)
	if in := storeInputs(s); in.EntrySize < 1000 || in.EntrySize > 1200 {
		t.Errorf("%+v", in)
	}
	settings := r.o.Settings()
	for what, c := range map[string]struct {
		fn   func(in *autoInputs)
		want Engine
		text string
	}{
		"nothing":        {func(*autoInputs) {}, Fork, "are no burden"},
		"no fork":        {func(in *autoInputs) { in.CanFork = false }, Thread, "cannot fork"},
		"no huge pages":  {func(in *autoInputs) { in.Huge, in.Resident = false, 400<<20 }, Thread, "there are no huge pages for 400 MB"},
		"split ones":     {func(in *autoInputs) { in.Resident, in.HugeShare = 400<<20, 0.4 }, Thread, "40 % of 400 MB"},
		"much data":      {func(in *autoInputs) { in.Resident = 6 << 30 }, Thread, "a clone of 6.0 GB"},
		"no memory left": {func(in *autoInputs) { in.Free = 1 << 20; r.rate.rate = 19_000 }, Thread, "that MemAvailable allows"},
	} {
		r.rate.rate = 0
		in := autoInputs{CanFork: true, Resident: 300 << 20, Huge: true, HugeShare: 1, Free: 1 << 34, FreeSource: "MemAvailable", EntrySize: 100}
		c.fn(&in)
		run := &running{data: 1 << 30}
		r.choose(run, &settings, in)
		if run.engine != c.want || !strings.Contains(r.stat.autoReason, c.text) {
			t.Errorf("%s: %v since %q, want %v", what, run.engine, r.stat.autoReason, c.want)
		}
	}
}

// Nothing set at all: AUTO, verified, no limit; and everything is saved.
func TestZeroSettings(t *testing.T) {
	s := openStore(t, kv.Options{})
	set(t, s, 3, "a", "b", 0)
	want := Fork
	if fork.RaceEnabled {
		want = Thread
	}
	path := filepath.Join(t.TempDir(), "x.rdb")
	res, err := Save(context.Background(), s, path, Options{})
	if err != nil || res.Engine != want || res.Verified != VerifyYes || res.Keys != 1 || res.VerifyTook <= 0 {
		t.Errorf("%+v %v", res, err)
	}
	res, err = Save(context.Background(), s, path, Options{Engine: Auto})
	if err != nil || res.Engine != want {
		t.Errorf("%+v %v", res, err)
	}
	m := NewManager(ManagerOptions{Store: s, Settings: func() Settings { return Settings{Dir: filepath.Dir(path), Filename: "dump.rdb"} }})
	defer m.Close()
	m.Run()
	if status, err := m.Start(Request{}); err != nil || status != fmt.Sprintf("%s (engine %v)", StatusStarted, want) {
		t.Error(status, err)
	}
	if in := m.Info(); in.CurrentReason != "BGSAVE" && in.BgsaveInProgress || in.CurrentLimitBytes != 0 {
		t.Errorf("%+v", in)
	}
	within(t, "the save", func() bool { return !m.Info().BgsaveInProgress })
	if in := m.Info(); !in.LastBgsaveOK || in.LastType != want.String() || in.LastAutoReason == "" || in.LastVerified != "yes" ||
		in.ChangesSinceLastSave != 0 || in.LastHook != "" {
		t.Errorf("%+v", in)
	}
	if m.HasSavePoints() || m.WriteDenied() != "" {
		t.Error("there are save points")
	}
	if got := readDump(t, filepath.Join(filepath.Dir(path), "dump.rdb")); got[place{3, "a"}].value != "b" {
		t.Errorf("%v", got)
	}
}
