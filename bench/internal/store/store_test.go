package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"kvd/bench/internal/result"
)

// ids sort by time.
func id(n int) string { return fmt.Sprintf("20261122T0315%02dZ-00%02x", n, n) }

func pointer[T any](v T) *T { return &v }

// sampleTrial has every kind of field; size bytes of it are histogram.
func sampleTrial(n, size int) result.Trial {
	hist := strings.Repeat("H", size)
	return result.Trial{
		Scenario: "A", Contestant: []string{"fork", "thread"}[n%2], Round: n/2 + 1, Keys: 3_000_000, ValueBytes: 300,
		Windows: map[string]*result.Window{
			"idle": {FromSec: 1, ToSec: 2.5, OpsPerSecond: 1e5, LongestGapSec: 0.001, Ops: map[string]result.Latencies{
				"set":  {Count: 10, P50Usec: 1.25, Histogram: hist + "1"},
				"ping": {Count: 3, P50Usec: 2, Histogram: hist + "2"},
			}},
			"save": {FromSec: 3, ToSec: 4, Ops: map[string]result.Latencies{"set": {Count: 7}}},
		},
		Series: &result.Series{StepSec: 0.1, Ops: map[string]*result.OpSeries{
			"set": {Count: []int64{1, 2}, P50Usec: []float64{1, 0.1}, P99Usec: []float64{2, 3}, MaxUsec: []float64{9, 1e7}},
		}},
		Memory:     []result.MemorySample{{AtSec: 0.1, PssBytes: 1 << 40}, {AtSec: 0.2, ChildCPUSec: 0.3}},
		Save:       &result.Save{Command: "BGSAVE FORK", Seconds: 1.5, Bytes: 1 << 33, HeldUsec: pointer(512.5), CopiedBytes: pointer(int64(7))},
		LagP99Usec: pointer(3.25),
	}
}

func sampleRun(n, trials int) *result.Run {
	run := &result.Run{
		ID: id(n), Started: time.Date(2026, 11, 22, 3, 15, n, 0, time.UTC), Ended: time.Date(2026, 11, 22, 3, 16, n, 0, time.UTC),
		Command: []string{"bench", "run"}, Label: fmt.Sprintf("label %d", n), Version: "abc",
		Machine:     result.Machine{Kernel: "6.18", Cores: 2},
		Config:      result.Config{Scale: "quick", Scenarios: []string{"A", "G"}, Rounds: 5, Seed: 1<<64 - 1},
		Contestants: []result.Contestant{{Name: "fork", Save: "BGSAVE FORK"}, {Name: "thread"}},
		Ceilings:    []result.Ceiling{{Shape: "8", OpsPerSecond: 1e6}},
		Apart:       &result.Apart{Facts: []result.Fact{{Topic: "creation", Value: pointer(2.5)}}},
	}
	for i := range trials {
		run.Trials = append(run.Trials, sampleTrial(i, 100))
	}
	return run
}

func open1(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that an error is of a kind and has all of the words.
func wantError(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) {
		t.Fatalf("error %v, want kind %v", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Fatalf("error %q does not say %q", err, w)
		}
	}
	if strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("error of several lines: %q", err)
	}
}

func wantRun(t *testing.T, s *Store, want *result.Run) {
	t.Helper()
	got, err := s.Get(want.ID)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func TestRunRoundTrips(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, dir)
	first, second := sampleRun(1, 4), sampleRun(2, 0)
	second.Apart = nil
	must(t, s.Put(first))
	must(t, s.Put(second))
	wantRun(t, s, first)
	wantRun(t, s, second)

	// A run that is put again leaves nothing of the old one.
	first = sampleRun(1, 2)
	first.Trials[0].Series, first.Trials[0].Memory = nil, nil
	must(t, s.Put(first))
	wantRun(t, s, first)

	must(t, s.Close())
	s = open1(t, dir)
	wantRun(t, s, first)
	wantRun(t, s, second)
}

func TestRunIsSavedAsItGoesOn(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, dir)
	run := sampleRun(1, 3)
	run.Ended = time.Time{}
	must(t, s.Begin(run))
	for i := range run.Trials {
		must(t, s.PutTrial(run.ID, i, &run.Trials[i]))
	}
	list, err := s.List()
	must(t, err)
	if len(list) != 1 || list[0].Partial != Unfinished || list[0].Trials != 3 {
		t.Fatalf("unfinished: %+v", list)
	}
	// The same trial again replaces the one before, with all its parts.
	run.Trials[1].Memory, run.Trials[1].Round = nil, 9
	must(t, s.PutTrial(run.ID, 1, &run.Trials[1]))
	run.Ended, run.Partial = time.Now().UTC().Truncate(time.Second), "interrupted"
	must(t, s.Finish(run))
	wantRun(t, s, run)
	run.Partial = ""
	must(t, s.Finish(run))
	wantRun(t, s, run)
	wantError(t, s.PutTrial(run.ID, maxTrials, &run.Trials[0]), nil, "not within")
	wantError(t, s.PutTrial("a/b", 0, &run.Trials[0]), nil, `"a/b"`)
	// Begin anew leaves none of the old trials.
	must(t, s.Begin(run))
	run.Partial, run.Trials = Unfinished, nil
	wantRun(t, s, run)
}

func TestListAndDelete(t *testing.T) {
	s := open1(t, t.TempDir())
	list, err := s.List()
	must(t, err)
	if len(list) != 0 {
		t.Fatal(list)
	}
	for _, n := range []int{2, 1, 3} {
		must(t, s.Put(sampleRun(n, n)))
	}
	list, err = s.List()
	must(t, err)
	want := Summary{
		ID: id(3), Started: time.Date(2026, 11, 22, 3, 15, 3, 0, time.UTC), Ended: time.Date(2026, 11, 22, 3, 16, 3, 0, time.UTC),
		Label: "label 3", Version: "abc", Scenarios: []string{"A", "G"}, Contestants: []string{"fork", "thread"}, Trials: 3,
	}
	if len(list) != 3 || !reflect.DeepEqual(list[0], want) || list[1].ID != id(2) || list[2].ID != id(1) {
		t.Fatalf("%+v", list)
	}
	must(t, s.Delete("last~1"))
	wantError(t, s.Delete(id(2)), ErrNotFound)
	wantRun(t, s, sampleRun(1, 1))
	wantRun(t, s, sampleRun(3, 3))
	if list, err = s.List(); err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
}

// TestListReadsSummariesOnly counts the bytes that List reads.
func TestListReadsSummariesOnly(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, dir)
	const large = 4 << 20
	for n := range 3 {
		run := sampleRun(n, 0)
		must(t, s.Begin(run))
		trial := sampleTrial(0, 0)
		noise := make([]int64, large/8)
		for i := range noise {
			noise[i] = int64(i) * 0x1e3779b97f4a7c15
		}
		trial.Series.Ops["set"].Count = noise
		must(t, s.PutTrial(run.ID, 0, &trial))
	}
	must(t, s.Close())
	s = open1(t, dir)
	before := readBytes(t)
	list, err := s.List()
	must(t, err)
	if len(list) != 3 || list[2].Trials != 1 {
		t.Fatal(list)
	}
	if n := readBytes(t) - before; n > large/8 {
		t.Errorf("List read %d bytes of some %d", n, 3*large)
	}
	if _, err := s.Get("last"); err != nil {
		t.Fatal(err)
	}
	if n := readBytes(t) - before; n < large/8 {
		t.Errorf("the count does not see Get: %d", n)
	}
}

// readBytes is what this process has read, by the kernel's account.
func readBytes(t *testing.T) (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	must(t, err)
	_, err = fmt.Sscanf(string(text), "rchar: %d", &n)
	must(t, err)
	return n
}

func TestReferences(t *testing.T) {
	s := open1(t, t.TempDir())
	if _, err := s.Get("last"); err == nil {
		t.Fatal("a run in an empty store")
	} else {
		wantError(t, err, ErrNotFound, "there are no runs in "+s.Dir())
	}
	for n := 1; n <= 12; n++ {
		must(t, s.Put(sampleRun(n, 0)))
	}
	for ref, want := range map[string]int{
		"last": 12, "last~0": 12, "last~11": 1, id(3): 3, "20261122T031507": 7, "20261122T031512Z-000c": 12,
	} {
		if got, err := s.Resolve(ref); err != nil || got != id(want) {
			t.Errorf("%s: %s, %v", ref, got, err)
		}
	}
	for _, c := range []struct {
		ref   string
		kind  error
		words []string
	}{
		{"last~12", ErrNotFound, []string{"only 12 runs", "the oldest is " + id(1)}},
		{"last~-1", ErrNotFound, []string{"last~1"}},
		{"last~x", ErrNotFound, nil},
		{"latest", ErrNotFound, nil},
		{"lastly", ErrNotFound, nil},
		{"20261122T03151", ErrAmbiguous, []string{id(10), id(11), id(12)}},
		{"", ErrNotFound, nil},
		{"20261122T031507Z-0008", ErrNotFound, []string{"near ones: " + id(7)}},
		{"0004", ErrNotFound, []string{"near ones: " + id(4)}},
		{"2026", ErrAmbiguous, []string{id(12), "12 runs in all"}},
		{"zzz", ErrNotFound, []string{id(12)}},
	} {
		_, err := s.Resolve(c.ref)
		wantError(t, err, c.kind, append(c.words, c.ref)...)
	}
}

func TestNewID(t *testing.T) {
	at := time.Date(2026, 11, 22, 4, 15, 0, 0, time.FixedZone("CET", 3600))
	if got := NewID(at); !regexp.MustCompile(`^20261122T031500Z-[0-9a-f]{4}$`).MatchString(got) {
		t.Error(got)
	}
	if checkID(NewID(at)) != nil {
		t.Error("an ID that is refused")
	}
}

func TestDirectoriesThatAreNotOurs(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	must(t, os.WriteFile(file, []byte("mine"), 0o600))
	_, err := Open(file)
	wantError(t, err, ErrNotResults, file, "a file")
	_, err = OpenReadOnly(file)
	wantError(t, err, ErrNotResults, file)
	_, err = Open(filepath.Join(file, "below"))
	wantError(t, err, nil, file, "not a directory")

	_, err = Open(base)
	wantError(t, err, ErrNotResults, base, "other files (file)")
	wantNames(t, base, "file")

	missing := filepath.Join(base, "missing")
	_, err = OpenReadOnly(missing)
	wantError(t, err, ErrNoStore, missing)
	wantNames(t, base, "file")

	empty := filepath.Join(base, "a", "b")
	must(t, os.MkdirAll(empty, 0o700))
	_, err = OpenReadOnly(empty)
	wantError(t, err, ErrNoStore, empty)
	wantNames(t, empty)

	// JSON lines and hidden files may be there, and what a creation that failed left.
	for _, name := range []string{"x.jsonl", ".gitignore", "MANIFEST-000001", "LOCK", "0.incoming"} {
		must(t, os.WriteFile(filepath.Join(empty, name), nil, 0o600))
	}
	s := open1(t, empty)
	must(t, s.Put(sampleRun(1, 1)))

	foreign := filepath.Join(base, "foreign")
	db, err := pebble.Open(foreign, &pebble.Options{Logger: newGuard()})
	must(t, err)
	must(t, db.Set([]byte("k"), []byte("v"), pebble.Sync))
	must(t, db.Close())
	names := dirNames(t, foreign)
	for _, f := range []func(string) (*Store, error){Open, OpenReadOnly} {
		_, err := f(foreign)
		wantError(t, err, ErrNotResults, foreign, "something else")
		wantNames(t, foreign, names...)
	}
}

func dirNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := dirNames(t, dir); !reflect.DeepEqual(got, want) {
		t.Fatalf("%s holds %q, want %q", dir, got, want)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, dir)
	must(t, s.Put(sampleRun(1, 1)))
	must(t, s.write("test", keySpan(formatKey), table{{formatKey, []byte("2")}}))
	must(t, s.Close())
	names := dirNames(t, dir)
	for _, f := range []func(string) (*Store, error){Open, OpenReadOnly} {
		_, err := f(dir)
		wantError(t, err, ErrNewer, dir, "format 2", "format 1", "later version")
		wantNames(t, dir, names...)
	}
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, dir)
	run := sampleRun(1, 2)
	must(t, s.Put(run))
	must(t, s.Close())
	names := dirNames(t, dir)
	a, err := OpenReadOnly(dir)
	must(t, err)
	b, err := OpenReadOnly(dir) // readers do not keep one another out
	must(t, err)
	wantRun(t, a, run)
	wantRun(t, b, run)
	wantError(t, a.Put(run), ErrReadOnly, dir)
	wantError(t, a.Delete("last"), ErrReadOnly, dir)
	_, err = Open(dir)
	wantError(t, err, ErrLocked, dir)
	must(t, a.Close())
	must(t, b.Close())
	wantNames(t, dir, names...)
	_, err = a.List()
	wantError(t, err, nil, dir, "closed")
	must(t, a.Close())
}

func TestDamage(t *testing.T) {
	build := func(t *testing.T) (dir string, tables []string) {
		dir = t.TempDir()
		s := open1(t, dir)
		for n := 1; n <= 2; n++ {
			must(t, s.Begin(sampleRun(n, 0)))
			trial := sampleTrial(0, 100)
			must(t, s.PutTrial(id(n), 0, &trial))
		}
		must(t, s.Close())
		tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
		must(t, err)
		return dir, tables
	}
	garble := func(t *testing.T, path string) {
		data, err := os.ReadFile(path)
		must(t, err)
		for i := range data {
			data[i] ^= 0x5a
		}
		must(t, os.WriteFile(path, data, 0o600))
	}
	t.Run("table", func(t *testing.T) {
		dir, tables := build(t)
		if len(tables) != 7 { // the format's, and three a run: head, summary, large parts
			t.Fatal(tables)
		}
		garble(t, tables[3]) // large parts of run 1
		s := open1(t, dir)
		_, err := s.Get(id(1))
		wantError(t, err, ErrDamaged, dir, id(1), filepath.Base(tables[3])[:6])
		if _, err := s.Get(id(2)); err != nil {
			t.Error(err)
		}
		list, err := s.List()
		if err != nil || len(list) != 2 || list[1].Damaged != "" || list[1].Trials != 1 {
			t.Error(list, err)
		}
		must(t, s.Close())
		garble(t, tables[1]) // head of run 1
		s = open1(t, dir)
		_, err = s.List()
		wantError(t, err, ErrDamaged, dir, filepath.Base(tables[1])[:6])
		if _, err := s.Get(id(2)); err != nil {
			t.Error(err)
		}
		must(t, s.Close())
		garble(t, tables[1]) // whole again
		garble(t, tables[2]) // summary of run 1
		s = open1(t, dir)
		list, err = s.List()
		if err != nil || len(list) != 2 || list[1].Damaged == "" || list[0].Damaged != "" {
			t.Error(list, err)
		}
	})
	t.Run("table gone", func(t *testing.T) {
		dir, tables := build(t)
		must(t, os.Remove(tables[1]))
		_, err := Open(dir)
		wantError(t, err, nil, dir, filepath.Base(tables[1])[:6])
	})
	t.Run("manifest", func(t *testing.T) {
		dir, _ := build(t)
		manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
		must(t, err)
		for _, m := range manifests {
			garble(t, m)
		}
		for _, f := range []func(string) (*Store, error){Open, OpenReadOnly} {
			_, err := f(dir)
			wantError(t, err, nil, dir)
			t.Log(err)
		}
	})
	t.Run("manifest gone", func(t *testing.T) {
		dir, _ := build(t)
		manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
		must(t, err)
		for _, m := range manifests {
			must(t, os.Remove(m))
		}
		_, err = Open(dir)
		wantError(t, err, nil, dir, "MANIFEST")
	})
	t.Run("value", func(t *testing.T) {
		dir, _ := build(t)
		s := open1(t, dir)
		key := trialKey(id(1), 0, partMemory)
		must(t, s.write("test", keySpan(key), table{{key, []byte("{")}}))
		_, err := s.Get(id(1))
		wantError(t, err, nil, dir, key)
	})
}

func TestWhatJSONCannotHold(t *testing.T) {
	s := open1(t, t.TempDir())
	run := sampleRun(1, 1)
	must(t, s.Put(run))
	var zero float64
	bad := sampleTrial(0, 0)
	bad.FillSec = 1 / zero
	wantError(t, s.PutTrial(run.ID, 1, &bad), nil, "trial 2 of run "+run.ID, "Inf")
	wantRun(t, s, run)
}
