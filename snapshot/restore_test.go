package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
	"kvd/snapshot/rdb"
)

// threeDatabases writes a dump with 100, 200 and 300 keys in databases 1, 3 and 6, of which
// every tenth has expired and one is large.
func threeDatabases(t testing.TB) string {
	return makeDump(t, func(e *rdb.Encoder) {
		e.Aux("redis-ver", "7.0.15")
		for n, db := range []int{1, 3, 6} {
			e.SelectDB(db)
			e.ResizeDB(int64(100*(n+1)), 0)
			for i := range 100 * (n + 1) {
				at := int64(0)
				if i%10 == 9 {
					at = 1000
				}
				e.String(fmt.Appendf(nil, "file:%d", i), fmt.Append(nil, db), at)
			}
			e.String([]byte("large"), make([]byte, 2*bigValue), 0)
		}
	})
}

func oldData(t testing.TB, o kv.Options) *kv.Store {
	s := openStore(t, o)
	for i := range 1000 {
		set(t, s, i%s.Databases(), fmt.Sprint("old:", i), fmt.Sprint(i), 0)
	}
	return s
}

func lens(s *kv.Store) (n []int64) {
	for db := range s.Databases() {
		n = append(n, s.Len(db))
	}
	return n
}

func TestRestore(t *testing.T) {
	path := threeDatabases(t)
	for _, threads := range []int{0, 1, 3} {
		s := oldData(t, kv.Options{Databases: 8})
		set(t, s, 3, "file:1", "old", 0)
		changes := s.Changes()
		var aux string
		var read int64
		res, err := Restore(context.Background(), s, path, RestoreOptions{Threads: threads,
			Aux:      func(name, value string) { aux += name + "=" + value },
			Progress: func(n, _ int64) { read = n }})
		if err != nil {
			t.Fatal(err)
		}
		if res.Keys != 543 || res.Expired != 60 || res.Removed != 1001 || res.Passed != 0 || res.Took <= 0 ||
			res.Bytes != read || aux != "redis-ver=7.0.15" || res.Aux["redis-ver"] != "7.0.15" {
			t.Errorf("%+v, aux %s, progress %d", res, aux, read)
		}
		if got, want := fmt.Sprint(lens(s)), "[0 91 0 181 0 0 271 0]"; got != want || s.Changes()-changes != 543+1001 {
			t.Errorf("keys %s, want %s; %d changes", got, want, s.Changes()-changes)
		}
		fresh, _ := load(t, path)
		if !maps.Equal(contents(s), contents(fresh)) {
			t.Error("the store is not what a load gives")
		}
	}
}

func TestRestoreOne(t *testing.T) {
	path := threeDatabases(t)
	for _, c := range []struct{ only, into, keys int }{{3, 5, 181}, {3, 3, 181}, {6, 0, 271}, {2, 1, 0}, {99, 1, 0}} {
		s := oldData(t, kv.Options{Databases: 7})
		want := contents(s)
		maps.DeleteFunc(want, func(p place, _ item) bool { return p.db == c.into })
		full, _ := load(t, path)
		for p, it := range contents(full) {
			if p.db == c.only {
				want[place{c.into, p.key}] = it
			}
		}
		res, err := Restore(context.Background(), s, path, RestoreOptions{Only: &c.only, Into: c.into})
		if err != nil || res.Keys != int64(c.keys) || res.Removed < 142 || res.Keys+res.Expired+res.Passed != 603 {
			t.Errorf("%+v: %+v %v", c, res, err)
		}
		if !maps.Equal(contents(s), want) {
			t.Errorf("%+v: keys %v", c, lens(s))
		}
	}
	for _, into := range []int{-1, 7} {
		only := 1
		if _, err := Restore(context.Background(), oldData(t, kv.Options{Databases: 7}), path, RestoreOptions{Only: &only, Into: into}); err == nil {
			t.Errorf("restored into database %d of 7", into)
		}
	}
}

// TestLoadOne: Load takes one database too, beside what is there, and a file with more
// databases than the store has is no obstacle.
func TestLoadOne(t *testing.T) {
	s := openStore(t, kv.Options{Databases: 3})
	set(t, s, 2, "there", "before", 0)
	only := 6
	res, err := Load(context.Background(), s, threeDatabases(t), LoadOptions{Only: &only, Into: 2, Threads: 2})
	if err != nil || res.Keys != 271 || res.Expired != 30 || res.Passed != 302 || fmt.Sprint(lens(s)) != "[0 0 272]" {
		t.Errorf("%+v %v, keys %v", res, err, lens(s))
	}
}

// TestRestoreFails: whatever is wrong with a file, the error is that of Load and the
// store is as it was, memory included.
func TestRestoreFails(t *testing.T) {
	good, err := os.ReadFile(threeDatabases(t))
	if err != nil {
		t.Fatal(err)
	}
	tooMany := makeDump(t, func(e *rdb.Encoder) { e.SelectDB(8); e.String([]byte("k"), nil, 0) })
	twice := makeDump(t, func(e *rdb.Encoder) {
		e.SelectDB(2)
		for i := range 20_000 {
			e.String(fmt.Append(nil, i%19_999), []byte("v"), 0)
		}
	})
	dir := t.TempDir()
	path := filepath.Join(dir, "dump.rdb")
	s := oldData(t, kv.Options{Databases: 8})
	want, mem, changes := contents(s), s.Memory(), s.Changes()
	fails := func(path string) error {
		t.Helper()
		_, err := Restore(context.Background(), s, path, RestoreOptions{})
		empty, openErr := kv.Open(kv.Options{Databases: 8})
		if openErr != nil {
			t.Fatal(openErr)
		}
		defer empty.Close()
		_, loadErr := Load(context.Background(), empty, path, LoadOptions{})
		text := func(err error) string { // who finds a key that is there twice, and at which of its places, is chance
			text, _, _ := strings.Cut(err.Error(), " (before byte")
			return text
		}
		if err == nil || loadErr == nil || text(err) != text(loadErr) {
			t.Errorf("restore: %v\nload:    %v", err, loadErr)
		}
		now := s.Memory()
		if now.Entries != mem.Entries || now.Index != mem.Index || now.Staged != 0 || now.Deferred != 0 || s.Changes() != changes {
			t.Errorf("%v: memory %+v, before %+v", err, now, mem)
		}
		return err
	}
	try := func(file []byte) error {
		t.Helper()
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		return fails(path)
	}
	for n := 0; n < len(good); n += 1 + n/3 {
		if err := try(good[:n]); !errors.Is(err, rdb.ErrFormat) || !strings.Contains(err.Error(), "load "+path) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	try(good[:len(good)-1])
	bad := append([]byte{}, good...)
	bad[len(bad)-100] ^= 1
	if err := try(bad); !errors.Is(err, rdb.ErrChecksum) {
		t.Errorf("one bit: %v", err)
	}
	clear(bad[len(bad)/2:])
	try(bad)
	var db *DatabaseError
	if err := fails(tooMany); !errors.As(err, &db) || db.DB != 8 {
		t.Errorf("too many databases: %v", err)
	}
	var dup *DuplicateError
	if err := fails(twice); !errors.As(err, &dup) || dup.DB != 2 {
		t.Errorf("twice: %v", err)
	}
	if err := fails(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	fails(dir)
	if !maps.Equal(contents(s), want) {
		t.Error("the store has changed")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Restore(ctx, s, twice, RestoreOptions{}); !errors.Is(err, context.Canceled) || !maps.Equal(contents(s), want) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Restore(context.Background(), s, tooMany, RestoreOptions{Only: new(int)}); err != nil {
		t.Errorf("another database that the store does not have: %v", err)
	}
}

// TestRestoreNoMemory: a file that does not fit.
func TestRestoreNoMemory(t *testing.T) {
	if fork.RaceEnabled {
		t.Skip("takes a GB of memory, several times that with the race detector")
	}
	s := oldData(t, kv.Options{Reserve: 1 << 30})
	want := contents(s)
	for i := range 2 { // most of what there is
		key := fmt.Append(nil, "filler:", i)
		if err := s.Update([][]byte{key}, func(tx *kv.Tx) error {
			return tx.FillString(0, key, 470<<20, kv.NoExpiry, func(dst []byte, _ int64) []byte {
				dst[0] = 1 // zeroes would take no memory
				return dst
			})
		}); err != nil {
			t.Fatal(err)
		}
	}
	mem := s.Memory()
	path := makeDump(t, func(e *rdb.Encoder) {
		for i := range 30_000 {
			e.String(fmt.Append(nil, i), make([]byte, 4000), 0)
		}
	})
	for range 3 {
		if _, err := Restore(context.Background(), s, path, RestoreOptions{}); !errors.Is(err, kv.ErrNoMemory) {
			t.Fatal(err)
		}
		now := s.Memory()
		if s.Len(0) != 2+1000/16+1 || now.Entries != mem.Entries || now.Staged != 0 {
			t.Errorf("memory %+v, before %+v", now, mem)
		}
	}
	set(t, s, 0, "still", "works", 0)
	for i := range 2 {
		s.DB(0).Delete(fmt.Append(nil, "filler:", i))
	}
	s.DB(0).Delete([]byte("still"))
	if !maps.Equal(contents(s), want) {
		t.Error("the store has changed")
	}
}

// generation writes a dump of n pairs of keys a:i, b:i whose values begin with name.
func generation(t testing.TB, name string, n int) string {
	rng := rand.New(rand.NewPCG(1, 1))
	return makeDump(t, func(e *rdb.Encoder) {
		for db := range 2 {
			e.SelectDB(db)
			for i := range n {
				val := append([]byte(name), make([]byte, rng.IntN(500))...)
				e.String(fmt.Append(nil, "a:", i), val, 0)
				e.String(fmt.Append(nil, "b:", i), val, 0)
			}
		}
	})
}

// TestRestoreAmongClients: those who read at once what was in the file together see one
// generation, and so does every save; writers write.
func TestRestoreAmongClients(t *testing.T) {
	const pairs = 3000
	files := []string{generation(t, "A", pairs), generation(t, "B", pairs)}
	s := openStore(t, kv.Options{Databases: 2})
	if _, err := Restore(context.Background(), s, files[0], RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 0))
			for !stop.Load() {
				a, b := fmt.Append(nil, "a:", rng.IntN(pairs)), fmt.Append(nil, "b:", rng.IntN(pairs))
				err := s.Update([][]byte{a, b}, func(tx *kv.Tx) error {
					x, ok := tx.Get(0, a)
					y, ok2 := tx.Get(1, b)
					if !ok || !ok2 || x.Value[0] != y.Value[0] {
						return fmt.Errorf("%s is %.1q, %s is %.1q", a, x.Value, b, y.Value)
					}
					if w == 0 {
						return nil
					}
					// A write of the same generation.
					return tx.SetString(0, a, y.Value, kv.EncRaw, 0)
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		path := filepath.Join(t.TempDir(), "dump.rdb")
		for n := 0; !stop.Load(); n++ {
			engine := background()[n%len(background())]
			if _, err := Save(context.Background(), s, path, Options{Engine: engine}); err != nil {
				t.Error(err)
				return
			}
			seen := map[byte]int{}
			for _, it := range readDump(t, path) {
				seen[it.value[0]]++
			}
			if len(seen) != 1 || seen['A']+seen['B'] != 4*pairs {
				t.Errorf("a %v save has %v", engine, seen)
			}
		}
	})
	for n := range 12 {
		res, err := Restore(context.Background(), s, files[(n+1)%2], RestoreOptions{})
		if err != nil || res.Keys != 4*pairs || res.Removed != 4*pairs {
			t.Errorf("%+v %v", res, err)
		}
	}
	stop.Store(true)
	wg.Wait()
}

// TestRestoreOften: fifty restores leave nothing behind. Old and new data may come to lie
// side by side in all of the memory that both took at the same time, and that is all.
func TestRestoreOften(t *testing.T) {
	path := generation(t, "A", 4_000)
	s := openStore(t, kv.Options{Databases: 2})
	var first kv.Memory
	for n := range 50 {
		if _, err := Restore(context.Background(), s, path, RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		m := s.Memory()
		if n == 0 {
			first = m
		}
		if m.Staged != 0 || m.Entries != first.Entries || m.Resident > 3*first.Resident {
			t.Fatalf("after %d restores: %+v, after the first: %+v", n+1, m, first)
		}
	}
	for db := range 2 {
		s.DB(db).Flush()
	}
	within(t, "giving the memory back", func() bool {
		m := s.Memory()
		return m.Entries+m.Index == 0 && m.Resident == m.Ahead
	})
}

// TestRestoreIsNice: who parses gives way to clients, and nobody stays nice.
func TestRestoreIsNice(t *testing.T) {
	path := threeDatabases(t)
	before := niceness(t, os.Getpid())
	during := -1
	if _, err := Restore(context.Background(), openStore(t, kv.Options{}), path,
		RestoreOptions{Aux: func(_, _ string) { during = niceness(t, 0) }}); err != nil {
		t.Fatal(err)
	}
	if now := niceness(t, os.Getpid()); during != min(before+threadNice, 19) || now != before {
		t.Errorf("niceness %d before, %d during, %d after", before, during, now)
	}
}

// TestLoadFIFO: what can only be read once, from its start, can be loaded, but not
// restored or verified.
func TestLoadFIFO(t *testing.T) {
	file, err := os.ReadFile(threeDatabases(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	write := func() {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Error(err)
		}
	}
	s := openStore(t, kv.Options{})
	wg.Go(write)
	if res, err := Load(context.Background(), s, path, LoadOptions{}); err != nil || res.Keys != 543 {
		t.Errorf("%+v %v", res, err)
	}
	wg.Wait()
	// Nobody writes now: who opened the pipe would wait for ever.
	if res, err := Restore(context.Background(), s, path, RestoreOptions{}); !errors.Is(err, errNotRegular) {
		t.Errorf("%+v %v", res, err)
	}
	if res, err := VerifyFile(context.Background(), path, VerifyOptions{}); !errors.Is(err, errNotRegular) {
		t.Errorf("%+v %v", res, err)
	}
}
