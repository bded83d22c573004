package store

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"kvd/bench/internal/result"
)

// Summary is a run as a list shows it.
type Summary struct {
	ID          string
	Started     time.Time
	Ended       time.Time // zero if it did not end
	Label       string
	Version     string   // of kvd
	Scenarios   []string // as asked for
	Contestants []string // names
	Trials      int      // that were saved
	Partial     string   // why it is not whole; empty if it is
	Damaged     string   // why it cannot be read; the other fields may be empty
}

// List returns all runs, the latest first: element n is what "last~n" means. A
// run that cannot be read is in it, with Damaged set.
func (s *Store) List() ([]Summary, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	out := make([]Summary, len(ids))
	for i, id := range ids {
		sum, err := inDB(s, "read run "+id, func(db *pebble.DB) (Summary, error) { return readSummary(db, id) })
		if err != nil {
			sum = Summary{ID: id, Damaged: err.Error()}
		}
		out[len(ids)-1-i] = sum
	}
	return out, nil
}

func readSummary(db *pebble.DB, id string) (sum Summary, err error) {
	var head result.Run
	if err := getJSON(db, configKey(id), &head); err != nil {
		return sum, err
	}
	sum = Summary{
		ID: id, Started: head.Started, Ended: head.Ended, Label: head.Label, Version: head.Version,
		Scenarios: head.Config.Scenarios, Partial: head.Partial,
	}
	for _, c := range head.Contestants {
		sum.Contestants = append(sum.Contestants, c.Name)
	}
	err = each(db, summaryPrefix(id), func(string, []byte) error {
		sum.Trials++
		return nil
	})
	return sum, err
}

// ids returns the IDs of all runs in order of time. It reads one key of each.
func (s *Store) ids() ([]string, error) {
	return inDB(s, "list the runs", func(db *pebble.DB) (ids []string, err error) {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(runsStart), UpperBound: []byte(runsEnd)})
		if err != nil {
			return nil, err
		}
		for ok := it.First(); ok; {
			id, _, _ := strings.Cut(strings.TrimPrefix(string(it.Key()), runsStart), "/")
			ids = append(ids, id)
			ok = it.SeekGE(runSpan(id).End)
		}
		return ids, it.Close() // the iterator's own error too
	})
}

// Get returns the run that ref names (see Resolve) with all its trials.
func (s *Store) Get(ref string) (*result.Run, error) {
	id, err := s.Resolve(ref)
	if err != nil {
		return nil, err
	}
	return inDB(s, "read run "+id, func(db *pebble.DB) (*result.Run, error) { return readRun(db, id) })
}

func readRun(db *pebble.DB, id string) (*result.Run, error) {
	run := &result.Run{}
	if err := getJSON(db, configKey(id), run); err != nil {
		return nil, err
	}
	if err := getJSON(db, apartKey(id), &run.Apart); err != nil {
		return nil, err
	}
	at := map[string]int{} // number of a trial, as in its keys, to its place in run.Trials
	err := each(db, summaryPrefix(id), func(number string, value []byte) error {
		at[number] = len(run.Trials)
		run.Trials = append(run.Trials, result.Trial{})
		return json.Unmarshal(value, &run.Trials[len(run.Trials)-1])
	})
	if err != nil {
		return nil, err
	}
	err = each(db, trialPrefix(id), func(rest string, value []byte) error {
		number, part, _ := strings.Cut(rest, "/")
		i, ok := at[number]
		if !ok {
			return fmt.Errorf("%w: %s of trial %s, which has no summary", ErrDamaged, part, number)
		}
		return setPart(&run.Trials[i], part, value)
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

// setPart puts a large part of a trial back where trialTables took it from.
func setPart(t *result.Trial, part string, value []byte) error {
	switch part {
	case partMemory:
		return json.Unmarshal(value, &t.Memory)
	case partSeries:
		return json.Unmarshal(value, &t.Series)
	case partHist:
		var hist histograms
		if err := json.Unmarshal(value, &hist); err != nil {
			return err
		}
		for window, ops := range hist {
			w := t.Windows[window]
			for op, h := range ops {
				if w == nil {
					return fmt.Errorf("%w: histogram of window %q, which is not there", ErrDamaged, window)
				}
				l := w.Ops[op]
				l.Histogram = h
				w.Ops[op] = l
			}
		}
	}
	return nil // a part that a later version of the same format added
}

// each calls f with every key under the prefix, without it, and its value, which
// is borrowed.
func each(db *pebble.DB, prefix string, f func(rest string, value []byte) error) error {
	end := prefix[:len(prefix)-1] + "0" // all prefixes end in '/'
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: []byte(end)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		key := string(it.Key())
		value, err := it.ValueAndErr()
		if err == nil {
			err = f(strings.TrimPrefix(key, prefix), value)
		}
		if err != nil {
			_ = it.Close()
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return it.Close()
}

func getJSON(db *pebble.DB, key string, into any) error {
	value, closer, err := db.Get([]byte(key))
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	err = json.Unmarshal(value, into)
	if closeErr := closer.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// lastRef is the reference of the latest run.
const lastRef = "last"

// Resolve returns the ID of the run that ref names: an ID, the beginning of just
// one, "last", or "last~2" for the second before the last. It fails with
// ErrNotFound or ErrAmbiguous and names runs that may have been meant.
func (s *Store) Resolve(ref string) (string, error) {
	// An ID needs no list, which another run's damage may prevent.
	if checkID(ref) == nil {
		found, err := inDB(s, "look for run "+ref, func(db *pebble.DB) (bool, error) {
			_, closer, err := db.Get([]byte(configKey(ref)))
			if errors.Is(err, pebble.ErrNotFound) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			return true, closer.Close()
		})
		if found || err != nil {
			return ref, err
		}
	}
	ids, err := s.ids()
	if err != nil {
		return "", err
	}
	if len(ids) == 0 {
		return "", fmt.Errorf("%w: %q: there are no runs in %s", ErrNotFound, ref, s.dir)
	}
	if back, ok := strings.CutPrefix(ref, lastRef); ok {
		return resolveLast(ids, ref, back)
	}
	var fits []string
	for _, id := range ids {
		if ref != "" && strings.HasPrefix(id, ref) {
			fits = append(fits, id)
		}
	}
	switch len(fits) {
	case 1:
		return fits[0], nil
	case 0:
		return "", fmt.Errorf("%w: %q; near ones: %s", ErrNotFound, ref, strings.Join(near(ids, ref), ", "))
	}
	return "", fmt.Errorf("%w %q: %s", ErrAmbiguous, ref, strings.Join(near(fits, ref), ", "))
}

// resolveLast resolves "last" followed by back.
func resolveLast(ids []string, ref, back string) (string, error) {
	n := 0
	if back != "" {
		number, ok := strings.CutPrefix(back, "~")
		var err error
		if n, err = strconv.Atoi(number); !ok || err != nil || n < 0 {
			return "", fmt.Errorf("%w: %q: say last, or last~1 for the one before", ErrNotFound, ref)
		}
	}
	if n >= len(ids) {
		runs := "are only " + strconv.Itoa(len(ids)) + " runs"
		if len(ids) == 1 {
			runs = "is only one run"
		}
		return "", fmt.Errorf("%w: %q: there %s; the oldest is %s", ErrNotFound, ref, runs, ids[0])
	}
	return ids[len(ids)-1-n], nil
}

// near returns a few IDs, those with the longest common beginning with ref, or
// the same ending, the latest first.
func near(ids []string, ref string) []string {
	const shown = 5
	alike := func(id string) int {
		n := 0
		for n < len(id) && n < len(ref) && id[n] == ref[n] {
			n++
		}
		if ref != "" && strings.HasSuffix(id, ref) {
			n = len(id)
		}
		return n
	}
	best := 0
	for _, id := range ids {
		best = max(best, alike(id))
	}
	var out []string
	for i := len(ids) - 1; i >= 0 && len(out) < shown; i-- {
		if alike(ids[i]) == best {
			out = append(out, ids[i])
		}
	}
	if rest := len(ids) - len(out); rest > 0 && len(out) == shown {
		out = append(out, fmt.Sprintf("… (%d runs in all)", len(ids)))
	}
	return out
}

func randomUint16() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}
