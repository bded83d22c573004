package kv

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// openStore returns a store that is checked as a whole when the test ends.
func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			return // maybe with locks held, for which Check would wait
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func set(t testing.TB, s *Store, db int, key, val string, at int64) {
	t.Helper()
	tx := s.NewTx()
	tx.LockKey([]byte(key))
	defer tx.Unlock()
	if err := tx.SetString(db, []byte(key), []byte(val), EncodingOf([]byte(val)), at); err != nil {
		t.Fatal(err)
	}
}

func TestStoreAgainstModel(t *testing.T) {
	now := atomic.Int64{}
	now.Store(1_000_000)
	s := openStore(t, Options{Databases: 3, Shards: 8, Clock: now.Load})
	s.SetActiveExpire(false)
	type val struct {
		v  string
		at int64
	}
	model := [3]map[string]val{{}, {}, {}}
	live := func(db int, k string) (val, bool) {
		v, ok := model[db][k]
		return v, ok && (v.at == 0 || v.at > now.Load())
	}
	rng := rand.New(rand.NewSource(7))
	tx := s.NewTx()
	for step := range 60000 {
		now.Add(rng.Int63n(3))
		db, db2 := rng.Intn(3), rng.Intn(3)
		k, k2 := fmt.Sprint("k", rng.Intn(300)), fmt.Sprint("k", rng.Intn(300))
		tx.LockKeys([][]byte{[]byte(k), []byte(k2)})
		want, ok := live(db, k)
		switch rng.Intn(9) {
		case 0, 1:
			v := val{v: fmt.Sprint("v", rng.Intn(1<<rng.Intn(60)))}
			expire := NoExpiry
			switch rng.Intn(3) {
			case 0:
				v.at = now.Load() + 1 + rng.Int63n(2000)
				expire = v.at
			case 1:
				expire = KeepExpiry
				if ok {
					v.at = want.at
				}
			}
			if err := tx.SetString(db, []byte(k), []byte(v.v), EncRaw, expire); err != nil {
				t.Fatal(err)
			}
			model[db][k] = v
		case 2:
			if tx.Delete(db, []byte(k)) != ok {
				t.Fatalf("delete %q: want %v", k, ok)
			}
			delete(model[db], k)
		case 3:
			want.at = NoExpiry
			if rng.Intn(2) == 0 {
				want.at = now.Load() + 1 + rng.Int63n(3000)
			}
			if tx.SetExpire(db, []byte(k), want.at) != ok {
				t.Fatalf("expire %q: want %v", k, ok)
			}
			if ok {
				model[db][k] = want
			}
		case 4:
			if ok {
				if err := tx.Move(db, []byte(k), db2, []byte(k2)); err != nil {
					t.Fatal(err)
				}
				delete(model[db], k)
				model[db2][k2] = want
			}
		case 5:
			if ok {
				if err := tx.Copy(db, []byte(k), db2, []byte(k2)); err != nil {
					t.Fatal(err)
				}
				model[db2][k2] = want
			}
		case 6:
			size := len(want.v) + rng.Intn(5)
			if !ok {
				want, size = val{}, rng.Intn(5)
			}
			b, err := tx.EditString(db, []byte(k), size)
			if err != nil || len(b) != size {
				t.Fatalf("edit %q: %d bytes, %v", k, len(b), err)
			}
			want.v += string(make([]byte, size-len(want.v)))
			if string(b) != want.v {
				t.Fatalf("edit %q: %q, want %q", k, b, want.v)
			}
			model[db][k] = want
		default:
			it, found := tx.Get(db, []byte(k))
			if found != ok || ok && (string(it.Value) != want.v || it.ExpireAt != want.at) {
				t.Fatalf("step %d: get %q: %q %d %v, want %v %v", step, k, it.Value, it.ExpireAt, found, want, ok)
			}
		}
		tx.Unlock()
		if step%10000 == 9999 {
			tx.LockAll()
			tx.SwapDB(0, 2)
			model[0], model[2] = model[2], model[0]
			tx.FlushDB(1)
			model[1] = map[string]val{}
			tx.Unlock()
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for db := range 3 {
		seen := map[string]int{}
		for cursor := uint64(0); ; {
			cursor = tx.Scan(db, cursor, 7, func(key []byte, it Item) { seen[string(key)]++ })
			if cursor >= 1<<53 {
				t.Fatalf("cursor %d does not fit a double", cursor)
			}
			if cursor == 0 {
				break
			}
		}
		for k := range model[db] {
			if _, ok := live(db, k); ok && seen[k] != 1 {
				t.Errorf("scan returned %q %d times", k, seen[k])
			}
			delete(seen, k)
		}
		if len(seen) > 0 {
			t.Errorf("scan returned keys that do not exist: %v", seen)
		}
	}
}

// TestCutIsExact: writers keep pairs of keys in different shards equal, and a
// third their sum; every view must show equal pairs, whichever way it is held
// still, while keys come, expire and go, and tables are flushed.
func TestCutIsExact(t *testing.T) {
	for name, mode := range map[string]Mode{"thread": ModeThread, "copy": ModeCopy, "locked": ModeLocked} {
		t.Run(name, func(t *testing.T) { cutIsExact(t, mode) })
	}
}

func cutIsExact(t *testing.T, mode Mode) {
	s := openStore(t, Options{Shards: 16})
	const writers, pairs = 8, 300
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewSource(int64(w)))
			for n := 0; !stop.Load(); n++ {
				i := rng.Intn(pairs)
				a, b := fmt.Appendf(nil, "a:%d:%d", w, i), fmt.Appendf(nil, "b:%d:%d", w, i)
				v := fmt.Appendf(nil, "%d%s", n, make([]byte, rng.Intn(60)))
				err := s.Update([][]byte{a, b}, func(tx *Tx) error {
					if rng.Intn(5) == 0 {
						tx.Delete(0, a)
						tx.Delete(0, b)
						return nil
					}
					if err := tx.SetString(0, a, v, EncRaw, NoExpiry); err != nil {
						return err
					}
					return tx.SetString(0, b, v, EncRaw, NoExpiry)
				})
				if err != nil {
					t.Error(err)
				}
				_ = s.DB(1).SetFor(fmt.Appendf(nil, "ttl:%d", n), v, time.Millisecond)
				if w == 0 && n%5000 == 4999 {
					s.DB(1).Flush()
				}
			}
		}()
	}
	rounds := 12
	if os.Getenv("KVD_LONG") == "1" {
		rounds = 100
	}
	for round := range rounds {
		if round%10 == 9 {
			runtime.GC()
		}
		v, err := s.Freeze(FreezeOptions{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Freeze(FreezeOptions{Mode: ModeThread}); err != ErrBusy {
			t.Fatalf("a second view: %v, want ErrBusy", err)
		}
		checkPairs(t, v)
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	s.settle()
	if m := s.Memory(); m.Deferred != 0 || m.Copy != 0 {
		t.Errorf("%d bytes deferred and %d copied are left", m.Deferred, m.Copy)
	}
}

func checkPairs(t *testing.T, v *View) {
	t.Helper()
	got := map[string]string{}
	var counts [16]int64
	var e Entry
	for i := range v.Shards() {
		for w := v.Walk(i); w.Next(&e); {
			counts[e.DB]++
			if e.DB == 0 {
				got[string(e.Key)] = string(e.Value)
			}
		}
		v.Release(i)
		time.Sleep(200 * time.Microsecond)
	}
	for db := range counts {
		if keys, _ := v.Counts(db); keys != counts[db] {
			t.Fatalf("database %d: walked %d keys, the cut had %d", db, counts[db], keys)
		}
	}
	for k, val := range got {
		other := "b" + k[1:]
		if k[0] == 'b' {
			other = "a" + k[1:]
		}
		if got[other] != val {
			t.Fatalf("%q is %q but %q is %q", k, val, other, got[other])
		}
	}
}

// A caller may put one key after the other into the same buffer.
func TestKeyBufferIsReused(t *testing.T) {
	s := openStore(t, Options{})
	tx := s.NewTx()
	tx.LockAll()
	buf := make([]byte, 8)
	for i := range 1000 {
		buf = fmt.Appendf(buf[:0], "key:%04d", i)
		if err := tx.SetString(0, buf, buf, EncRaw, NoExpiry); err != nil {
			t.Fatal(err)
		}
	}
	tx.Unlock()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if v, ok := s.DB(0).Get([]byte("key:0500")); !ok || string(v) != "key:0500" {
		t.Errorf("got %q %v", v, ok)
	}
}

func TestFlushUnderAView(t *testing.T) {
	s := openStore(t, Options{})
	for i := range 20000 {
		set(t, s, i%2, fmt.Sprint(i), "some value", NoExpiry)
	}
	for round := range 3 {
		v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
		if err != nil {
			t.Fatal(err)
		}
		tx := s.NewTx()
		tx.LockAll()
		removed := tx.FlushDB(round % 2)
		tx.Unlock()
		for i := range 1000 {
			set(t, s, round%2, fmt.Sprint("new", i), "other", NoExpiry)
		}
		var e Entry
		var n int64
		for i := range v.Shards() {
			for w := v.Walk(i); w.Next(&e); {
				if e.DB == round%2 {
					n++
				}
			}
		}
		if n != removed {
			t.Errorf("round %d: the view shows %d keys of the flushed database, it had %d", round, n, removed)
		}
		v.Close()
		s.settle()
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMemoryIsGivenBack(t *testing.T) {
	s := openStore(t, Options{})
	val := make([]byte, 1000)
	for i := range 100000 {
		_ = s.DB(0).Set(fmt.Appendf(nil, "key:%d", i), val)
	}
	full := s.Memory()
	if full.Entries < 95<<20 || full.Resident < full.Entries {
		t.Fatalf("with 100 MB stored: %+v", full)
	}
	s.DB(0).Flush()
	until(t, "memory is given back", func() bool { return s.Memory().Resident <= 20<<20 })
	if m := s.Memory(); m.Entries != 0 || m.Index != 0 {
		t.Errorf("an empty store has %+v", m)
	}
}

func TestSweepDeletesExpired(t *testing.T) {
	now := atomic.Int64{}
	now.Store(1_000_000)
	s := openStore(t, Options{Clock: now.Load})
	for i := range 20000 {
		set(t, s, i%3, fmt.Sprint(i), "v", 1_000_000+int64(i%2)*1_000_000+1)
	}
	set(t, s, 0, "stays", "v", NoExpiry)
	now.Add(1000)
	left := func() int64 { return s.Len(0) + s.Len(1) + s.Len(2) }
	until(t, "10001 keys are left", func() bool { return left() <= 10001 })
	if n := s.ExpiredKeys(); n != 10000 || left() != 10001 {
		t.Errorf("%d keys expired, %d are left", n, left())
	}
	if ttl := s.AvgTTL(0); ttl < 900_000 || ttl > 1_000_000 {
		t.Logf("average time to live %d ms", ttl) // a running average
	}
}

func TestReadersLeaveExpiredKeysToTheCut(t *testing.T) {
	now := atomic.Int64{}
	now.Store(1_000_000)
	s := openStore(t, Options{Clock: now.Load})
	s.SetActiveExpire(false)
	set(t, s, 0, "k", "v", 1_000_500)
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	now.Add(1000)
	if _, ok := s.DB(0).Get([]byte("k")); ok {
		t.Error("an expired key was returned")
	}
	if s.Len(0) != 1 {
		t.Error("a reader deleted a key during a cut")
	}
	set(t, s, 0, "k", "w", NoExpiry) // replaces what is still there
	if s.Len(0) != 1 {
		t.Errorf("%d keys", s.Len(0))
	}
	v.Close()
	if val, ok := s.DB(0).Get([]byte("k")); !ok || string(val) != "w" {
		t.Errorf("got %q %v", val, ok)
	}
}

func TestHoldExpiry(t *testing.T) {
	now := atomic.Int64{}
	now.Store(1_000_000)
	s := openStore(t, Options{Clock: now.Load})
	set(t, s, 0, "k", "v", 1_000_500)
	s.HoldExpiry(true)
	now.Add(1000)
	if _, ok := s.DB(0).Get([]byte("k")); ok {
		t.Error("an expired key was returned")
	}
	time.Sleep(3 * cronInterval)
	if s.Len(0) != 1 {
		t.Error("a key was deleted while expiry was held")
	}
	set(t, s, 0, "k", "w", NoExpiry)
	if v, _ := s.DB(0).Get([]byte("k")); s.Len(0) != 1 || string(v) != "w" {
		t.Errorf("%d keys, %q", s.Len(0), v)
	}
	set(t, s, 0, "k", "v", now.Load()+1)
	now.Add(1000)
	s.HoldExpiry(false)
	s.DB(0).Get([]byte("k"))
	if s.Len(0) != 0 {
		t.Error("an expired key is still there")
	}
}

func TestWatch(t *testing.T) {
	now := atomic.Int64{}
	now.Store(1_000_000)
	s := openStore(t, Options{Clock: now.Load})
	s.SetActiveExpire(false)
	tx := s.NewTx()
	try := func(name string, dirty bool, prepare, change func()) {
		t.Helper()
		s.DB(0).Flush()
		s.DB(1).Flush()
		prepare()
		var w Watcher
		tx.LockKey([]byte("k"))
		tx.Watch(0, []byte("k"), &w)
		tx.Unlock()
		change()
		tx.LockKeys(w.Keys())
		got := tx.WatchBroken(&w)
		tx.Unlock()
		s.Unwatch(&w)
		if got != dirty {
			t.Errorf("%s: broken %v, want %v", name, got, dirty)
		}
		if w.Watching() || w.Dirty() {
			t.Errorf("%s: still watching", name)
		}
	}
	nop := func() {}
	put := func() { set(t, s, 0, "k", "v", NoExpiry) }
	expiring := func() { set(t, s, 0, "k", "v", now.Load()+10) }
	all := func(fn func()) func() {
		return func() { tx.LockAll(); fn(); tx.Unlock() }
	}
	try("nothing", false, put, nop)
	try("set", true, put, put)
	try("create", true, nop, put)
	try("other key", false, put, func() { set(t, s, 0, "other", "v", NoExpiry) })
	try("other database", false, put, func() { set(t, s, 1, "k", "v", NoExpiry) })
	try("delete", true, put, func() { s.DB(0).Delete([]byte("k")) })
	try("delete nothing", false, nop, func() { s.DB(0).Delete([]byte("k")) })
	try("expired", true, expiring, func() { now.Add(20) })
	try("expired before, then deleted", false, func() { expiring(); now.Add(20) }, func() { s.DB(0).Get([]byte("k")) })
	try("expired before, then set", true, func() { expiring(); now.Add(20) }, put)
	try("flush", true, put, all(func() { tx.FlushAll() }))
	try("flush nothing", false, nop, all(func() { tx.FlushAll() }))
	try("swap away", true, put, all(func() { tx.SwapDB(0, 1) }))
	try("swap in", true, func() { set(t, s, 1, "k", "v", NoExpiry) }, all(func() { tx.SwapDB(0, 1) }))
	try("swap without", false, nop, all(func() { tx.SwapDB(0, 1) }))
}

func TestRandomKeyReachesAll(t *testing.T) {
	s := openStore(t, Options{})
	tx := s.NewTx()
	if _, ok := tx.RandomKey(0, nil); ok {
		t.Error("a random key of an empty database")
	}
	for i := range 100 {
		set(t, s, 0, fmt.Sprint(i), "v", NoExpiry)
	}
	seen := map[string]int{}
	for range 20000 {
		k, _ := tx.RandomKey(0, nil)
		seen[string(k)]++
	}
	for k, n := range seen {
		if n < 60 || n > 600 {
			t.Errorf("key %q came %d times of 20000", k, n)
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d keys of 100 came", len(seen))
	}
}

func TestEncodingOf(t *testing.T) {
	for val, want := range map[string]Encoding{
		"0": EncInt, "-1": EncInt, "9223372036854775807": EncInt, "-9223372036854775808": EncInt,
		"9223372036854775808": EncEmbstr, "-9223372036854775809": EncEmbstr, "-0": EncEmbstr, "01": EncEmbstr,
		"": EncEmbstr, "-": EncEmbstr, "1 ": EncEmbstr, "abc": EncEmbstr,
		"12345678901234567890123456789012345678901234": EncEmbstr, "123456789012345678901234567890123456789012345": EncRaw,
	} {
		if got := EncodingOf([]byte(val)); got != want {
			t.Errorf("%q: %v, want %v", val, got, want)
		}
	}
}

// Watching goes on while others change keys that are watched already; for the
// race detector.
func TestWatchWhileOthersWrite(t *testing.T) {
	s := openStore(t, Options{})
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !stop.Load(); i++ {
			_ = s.DB(0).Set(fmt.Appendf(nil, "k%d", i%50), []byte("v"))
		}
	})
	tx := s.NewTx()
	dirty := 0
	for range 100 {
		var w Watcher
		for i := range 50 {
			key := fmt.Appendf(nil, "k%d", i)
			tx.LockKey(key)
			tx.Watch(0, key, &w)
			tx.Unlock()
		}
		if w.Dirty() {
			dirty++
		}
		s.Unwatch(&w)
	}
	stop.Store(true)
	wg.Wait()
	for i := range s.shards {
		if n := len(s.shards[i].watchers); n != 0 {
			t.Errorf("%d keys are still watched", n)
		}
	}
	t.Logf("%d of 100 were dirty", dirty)
}

func TestLoader(t *testing.T) {
	now := time.Now().UnixMilli() // for as long as the test takes: idle times are compared
	s := openStore(t, Options{Shards: 5, Clock: func() int64 { return now }})
	var recs []Record
	for i := range 5000 {
		r := Record{DB: i % 3, Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Append(nil, i*i), Idle: int64(i % 2 * 50)}
		if i%4 == 0 {
			r.ExpireAt = now + 1_000_000
		}
		recs = append(recs, r)
	}
	l := s.NewLoader()
	for from := 0; from < len(recs); from += 700 {
		if i, err := l.Add(recs[from:min(from+700, len(recs))], false); err != nil || i != -1 {
			t.Fatal(i, err)
		}
	}
	tx := s.NewTx()
	for _, r := range recs {
		tx.LockKey(r.Key)
		idle, _ := tx.Idle(r.DB, r.Key)
		it, ok := tx.Get(r.DB, r.Key)
		if !ok || string(it.Value) != string(r.Value) || it.ExpireAt != r.ExpireAt || it.Encoding != EncInt ||
			idle < r.Idle-8 || idle > r.Idle+8 {
			t.Fatalf("%s: %+v, idle %d", r.Key, it, idle)
		}
		tx.Unlock()
	}
	if s.Len(0)+s.Len(1)+s.Len(2) != 5000 || s.Changes() != 5000 {
		t.Errorf("%d keys, %d changes", s.Len(0)+s.Len(1)+s.Len(2), s.Changes())
	}
	again := []Record{{Key: []byte("new")}, {DB: recs[100].DB, Key: recs[100].Key, Value: []byte("x")}}
	if i, err := l.Add(again, false); i != 1 || err != ErrExists {
		t.Errorf("a key that exists: %d %v", i, err)
	}
	if _, err := l.Add(again, true); err != nil {
		t.Error(err)
	}
	if v, _ := s.DB(recs[100].DB).Get(recs[100].Key); string(v) != "x" {
		t.Errorf("after replacing: %q", v)
	}
	if i, err := l.Add([]Record{{Key: []byte("big"), Value: make([]byte, MaxString+1)}}, true); i != 0 || err != ErrTooLong {
		t.Errorf("too long: %d %v", i, err)
	}
}
