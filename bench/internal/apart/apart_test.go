//go:build linux && (amd64 || arm64)

package apart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	busy "kvd/bench/internal/noise"
	"kvd/bench/internal/result"
)

var tempRoot string

// TestMain lets the test binary be its own measuring process.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childCommand {
		jobs["parent"] = (*job).parent
		os.Exit(ChildMain(os.Args[2:]))
	}
	os.Exit(func() int {
		var err error
		if tempRoot, err = os.MkdirTemp("", "kvd-apart-test-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(tempRoot)
		return m.Run()
	}())
}

// parent forks a child, tells its pid, and waits.
func (j *job) parent() error {
	p, err := park()
	if err != nil {
		return err
	}
	if err := emit("pid", 0, float64(p.pid)); err != nil {
		return err
	}
	select {}
}

var buildKvd = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("KVD_BIN"); bin != "" {
		return bin, nil
	}
	bin := filepath.Join(tempRoot, "kvd")
	out, err := exec.Command("go", "build", "-o", bin, "kvd/cmd/kvd").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return bin, err
})

// measured runs a kind of measuring process and returns its figures.
func measured(t testing.TB, args ...string) *figures {
	t.Helper()
	f := newFigures()
	f.collect(t.Context(), "all", func(point) {}, args...)
	if why := f.why["all"]; why != "" {
		t.Fatal(why)
	}
	return f
}

// want fails the test unless all figures are there and positive.
func (f *figures) want(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if !f.has(name) {
			t.Errorf("no %s: %s", name, f.reason(name))
		}
		for _, size := range f.sizes[name] {
			if v := f.at(name, size); v <= 0 || v > 1e9 {
				t.Errorf("%s at %d is %g", name, size, v)
			}
		}
	}
}

func TestCreation(t *testing.T) { busy.Attempts(t, tries, create) }

// tries are for figures that are compared with each other.
const tries = 5

func create(t *busy.T) {
	f := measured(t, "creation", "-program", "/bin/true")
	f.want(t, "creation/rss", "creation/fork", "creation/thread", "creation/exec", "creation/go thread", "creation/goroutine",
		"creation/fork life", "creation/thread life", "creation/exec life")
	for _, what := range []string{"fork", "thread", "exec"} {
		if f.get("creation/"+what) > f.get("creation/"+what+" life") {
			t.Errorf("%s takes longer to begin than to begin and end", what)
		}
	}
}

func TestForkCostsByTheSize(t *testing.T) { busy.Attempts(t, tries, forkBySize) }

func forkBySize(t *busy.T) {
	f := measured(t, "memory", "-program", "/bin/true", "-sizes", fmt.Sprintf("%d,%d", 8*mib, 128*mib))
	f.want(t, "small/fork", "small/tables", "small/fork life", "small/thread", "small/exec")
	_, _, few, many := f.ends("small/fork")
	if many < 2*few {
		t.Errorf("clone takes %.0f µs with 8 MiB and %.0f µs with 128 MiB", few, many)
	}
	// 120 MiB more are 60 more tables of 4 KiB, and few of Go's own.
	if _, _, few, many := f.ends("small/tables"); many-few < 236*kib || many-few > 280*kib {
		t.Fatalf("120 MiB of data more cost %.0f bytes of page tables more", many-few)
	}
}

func TestMemoryEndsInTime(t *testing.T) {
	f := newFigures()
	f.collect(t.Context(), "all", func(point) {}, "memory", "-program", "/bin/true", "-budget", "1ns",
		"-sizes", fmt.Sprintf("%d,%d", mib, 2*mib))
	if got := f.sizes["small/fork"]; !slices.Equal(got, []int64{mib}) || !strings.Contains(f.why["small"], "2 MiB and more left out") {
		t.Errorf("sizes %v, note %q", got, f.why["small"])
	}
}

func TestHugePages(t *testing.T) {
	f := measured(t, "memory", "-huge", "-program", "/bin/true", "-sizes", fmt.Sprint(16*mib))
	if f.has("huge/fork") {
		f.want(t, "huge/fork", "huge/tables")
	} else if f.why["huge"] == "" {
		t.Error("neither figures nor a reason")
	}
	f = measured(t, "faults", "-huge", "-budget", "1ms")
	if !f.has("fault/huge plain") {
		if f.why["fault/huge"] == "" {
			t.Error("neither figures nor a reason")
		}
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(f.why["fault/huge"])
		}
		t.Skip(f.why["fault/huge"])
	}
	f.want(t, "fault/huge plain", "fault/huge shared", "fault/huge next", "fault/huge reused", "fault/huge copy page")
}

func TestFaults(t *testing.T) { busy.Attempts(t, tries, writeToPages) }

func writeToPages(t *busy.T) {
	f := measured(t, "faults", "-budget", "1ms")
	f.want(t, "fault/small plain", "fault/small shared", "fault/small again", "fault/small reused", "fault/small copy 300", "fault/small copy 4096")
	if shared, plain := f.get("fault/small shared"), f.get("fault/small plain"); shared < 2*plain {
		t.Errorf("a write to a shared page takes %.0f ns, a plain one %.0f ns", shared, plain)
	}
}

func TestTalk(t *testing.T) { busy.Attempts(t, tries, talk) }

func talk(t *busy.T) {
	f := measured(t, "talk")
	f.want(t, "talk/channel", "talk/pipe", "talk/pages futex", "talk/threads futex",
		"talk/bulk pipe", "talk/bulk pointer", "talk/bulk copy")
	if f.why["talk/pages spin"] == "" {
		f.want(t, "talk/pages spin", "talk/threads spin", "talk/pipe"+twoCores)
	}
	if got := f.sizes["talk/bulk pipe"]; !slices.Equal(got, bulkSizes) {
		t.Errorf("sizes %v", got)
	}
	if _, _, few, many := f.ends("talk/bulk pipe"); many < few {
		t.Errorf("a pipe takes %.1f µs for 300 B and %.1f µs for 1 MiB", few, many)
	}
}

func TestServerOutlivesItsChild(t *testing.T) {
	kvd, err := buildKvd()
	if err != nil {
		t.Fatal(err)
	}
	s, err := killChild(t.Context(), kvd)
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != "err" || !strings.Contains(s.Reason, "signal 9") || !s.DumpIntact || s.Keys != isolationKeys+1 || s.PingMsec <= 0 {
		t.Errorf("%+v", s)
	}
}

func TestProcessDiesOfItsThread(t *testing.T) {
	d, err := faultInThread(t.Context(), "signal", mib)
	if err != nil || d.Signal != syscall.SIGSEGV.String() || d.ClosedMsec <= 0 {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = faultInThread(t.Context(), "go", mib)
	if err != nil || d.Signal != "" || d.Status != 2 || !strings.Contains(d.Said, "nil pointer") {
		t.Errorf("%+v, %v", d, err)
	}
	// A process that was killed from outside did not die of its thread.
	busy.Attempts(t, tries, func(t *busy.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if d, err := faultInThread(ctx, "signal", mib); err == nil {
			t.Errorf("with a context at its end: %+v", d)
		}
	})
}

// What a measuring process has forked must not outlive it.
func TestChildrenDieWithTheMeasuringProcess(t *testing.T) {
	m, err := startMeasuring(t.Context(), "parent")
	if err != nil {
		t.Fatal(err)
	}
	defer m.stop()
	p, err := m.next()
	if err != nil {
		t.Fatal(m.failure(err))
	}
	child := int(p.Value)
	if err := syscall.Kill(child, 0); err != nil {
		t.Fatalf("the child is not there: %v", err)
	}
	m.stop()
	busy.Wait(t, fmt.Sprintf("the end of child %d", child), func() bool {
		// Who adopts it may take his time to reap it.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestCancelledKeepsWhatWasMeasured(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var said []string
	a, err := Measure(ctx, Options{Quick: true, Progress: func(s string) {
		if said = append(said, s); len(said) == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || len(said) != 2 {
		t.Fatalf("%v after %q", err, said)
	}
	if len(a.Facts) == 0 {
		t.Fatal("nothing was kept")
	}
	for _, f := range a.Facts {
		if f.Value == nil || f.Topic != topicCreation {
			t.Errorf("%+v", f)
		}
	}
}

func TestTooLittleMemoryForASize(t *testing.T) {
	m := &measurement{Options: Options{Sizes: []int64{1 << 50, mib, 0}}, figures: newFigures()}
	got, err := m.affordable()
	if err != nil || !slices.Equal(got, []int64{mib}) || !strings.Contains(m.why["sizes"], "above 1 MiB") {
		t.Errorf("%v, %v, %q", got, err, m.why["sizes"])
	}
	m.Sizes = []int64{1 << 50}
	if got, err := m.affordable(); err == nil {
		t.Errorf("%v", got)
	}
}

func TestWithoutKvd(t *testing.T) {
	m := &measurement{figures: newFigures(), ctx: t.Context(), Options: Options{Quick: true, Progress: func(string) {}}}
	m.isolation()
	var facts []result.Fact
	for _, c := range m.isolationClaims() {
		facts = append(facts, m.fact(c))
	}
	if facts[0].Value != nil || facts[0].Text != "Not measured: there is no kvd program to start." {
		t.Errorf("%+v", facts[0])
	}
	if facts[1].Value == nil || !strings.Contains(facts[1].Text, "segmentation fault") {
		t.Errorf("%+v", facts[1])
	}
}

// fake fills in every figure that the claims ask for.
func fake(value func(name string, size int64) float64) *measurement {
	m := &measurement{figures: newFigures(), survival: &survival{Status: "err", Reason: "killed", DumpIntact: true, Keys: isolationKeys + 1},
		deaths: map[string]death{"signal": {Signal: "segmentation fault"}, "go": {Status: 2}}}
	asked := map[string]bool{"creation/rss": true}
	for _, claims := range [][]claim{m.creationClaims(), m.tableClaims(), m.faultClaims(), m.hugeFaultClaims(), m.talkClaims()} {
		for _, c := range claims {
			for _, name := range c.needs {
				asked[name] = true
			}
		}
	}
	for _, name := range []string{"talk/bulk pipe", "talk/bulk pointer", "talk/bulk copy"} {
		for _, size := range bulkSizes {
			m.add(point{Name: name, Size: size, Value: value(name, size)})
		}
	}
	for name := range asked {
		sizes := []int64{0}
		if strings.HasPrefix(name, "small/") || strings.HasPrefix(name, "huge/") {
			sizes = []int64{gib, 4 * gib}
		}
		for _, size := range sizes {
			m.add(point{Name: name, Size: size, Value: value(name, size)})
		}
	}
	return m
}

func TestVerdictsFollowTheFigures(t *testing.T) {
	find := func(a *result.Apart, words string) result.Fact {
		t.Helper()
		i := slices.IndexFunc(a.Facts, func(f result.Fact) bool { return strings.Contains(f.Claim, words) })
		if i < 0 {
			t.Fatalf("no claim with %q", words)
		}
		return a.Facts[i]
	}
	a := fake(func(name string, size int64) float64 {
		switch {
		case name == "creation/fork", name == "small/fork":
			return 10 + float64(size/mib)
		}
		return 1
	}).apart()
	for _, f := range a.Facts {
		if f.Value == nil || f.What == "" || f.Unit == "" ||
			!strings.HasPrefix(f.Text, "Borne out: ") && !strings.HasPrefix(f.Text, "Not borne out: ") {
			t.Errorf("%+v", f)
		}
	}
	for words, want := range map[string]string{
		"thread is cheaper than creating": "Borne out: a fork of the same process takes 10.0 µs, 10.0 times as long",
		"fork grows":                      "Borne out: 1.03 ms with 1 GiB, 4.11 ms with 4 GiB: 4 times the data, 3.97 times the time",
		"thread costs the same":           "Borne out: ",
		"Only the first write":            "Not borne out: 1.00 ns the second time",
		"death of a child":                "Borne out: ",
		"Goroutines hand over":            "Not borne out: ",
	} {
		if f := find(a, words); !strings.HasPrefix(f.Text, want) {
			t.Errorf("%s\n got %s\nwant %s", f.Claim, f.Text, want)
		}
	}
	if len(a.Tables) != 3 || len(a.Tables[0].Rows) != 2 || a.Tables[0].Rows[1][0] != 4096 || a.Tables[0].Rows[1][1] != 4.106 {
		t.Errorf("%+v", a.Tables)
	}

	m := fake(func(string, int64) float64 { return 1 })
	m.add(point{Name: "huge/fork", Size: 8 * gib, Value: 1})
	if tables := m.apart().Tables; len(tables) != 4 || len(tables[1].Rows) != 3 || len(tables[1].Columns) != 2 {
		t.Errorf("a column with a size more: %+v", tables)
	}
	m.survival.DumpIntact = false
	a = m.apart()
	for _, words := range []string{"thread is cheaper than creating", "fork grows", "death of a child"} {
		if f := find(a, words); !strings.HasPrefix(f.Text, "Not borne out: ") {
			t.Errorf("%s: %s", f.Claim, f.Text)
		}
	}
}

func TestFactsSayWhyTheyAreMissing(t *testing.T) {
	m := &measurement{figures: newFigures()}
	m.why["talk"], m.why["talk/pages spin"] = "no pipes", "one core"
	for _, f := range m.apart().Facts {
		if f.Value != nil || !strings.HasPrefix(f.Text, "Not measured: ") {
			t.Errorf("%+v", f)
		}
	}
	if got := m.reason("talk/pages spin"); got != "one core" {
		t.Error(got)
	}
	if got := m.reason("talk/pipe"); got != "no pipes" {
		t.Error(got)
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		usText(0.0312): "31.2 ns", usText(2.5): "2.50 µs", usText(61234): "61.2 ms", usText(2e6): "2.00 s",
		bytesText(300): "300 B", bytesText(4 * kib): "4 KiB", bytesText(gib / 4): "256 MiB", bytesText(5 * gib / 2): "2.5 GiB",
		ratioText(7, 2): "3.50 times", ratioText(1, 0): "many times", digits(0.00123): "0.0012", digits(0): "0",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestChildMainRefuses(t *testing.T) {
	stderr := os.Stderr
	defer func() { os.Stderr = stderr }()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	os.Stderr = null
	for _, args := range [][]string{nil, {"nonsense"}, {"memory", "-sizes", "many"}} {
		if status := ChildMain(args); status != 2 {
			t.Errorf("%q: status %d", args, status)
		}
	}
}

// The whole of it, in the words of the program; KVD_LONG=1 makes it the long one.
func TestMeasure(t *testing.T) {
	kvd, err := buildKvd()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	a, err := Measure(t.Context(), Options{Kvd: kvd, Quick: os.Getenv("KVD_LONG") != "1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(begin))
	printApart(t.Output(), a)
	topics := map[string]int{}
	for _, f := range a.Facts {
		if f.Claim == "" || f.What == "" || f.Text == "" {
			t.Errorf("a fact without words: %+v", f)
		}
		topics[f.Topic]++
	}
	for _, topic := range []string{"creation", "page tables", "faults", "isolation", "communication"} {
		if topics[topic] == 0 {
			t.Errorf("no fact about %s", topic)
		}
	}
}

// printApart writes facts and tables for a reader.
func printApart(w io.Writer, a *result.Apart) {
	for _, f := range a.Facts {
		value := "–"
		if f.Value != nil {
			value = digits(*f.Value) + " " + f.Unit
		}
		fmt.Fprintf(w, "[%s] %s\n    %s\n    %s | %s\n", f.Topic, f.Claim, f.What, value, f.Text)
	}
	for _, t := range a.Tables {
		fmt.Fprintln(w, t.Title, t.Columns)
		for _, row := range t.Rows {
			fmt.Fprintln(w, row)
		}
	}
}
