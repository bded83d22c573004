package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"kvd/bench/internal/result"
)

// Unfinished is what Partial of a run says between Begin and Finish, and for
// ever if Finish is never called.
const Unfinished = "did not end: the program still runs or was killed"

// maxTrials bounds the numbers of trials; keys have room for them.
const maxTrials = 100_000

// incomingExt ends the names of tables that pebble has not taken in yet. What a
// killed program leaves under such a name is overwritten by the next.
const incomingExt = ".incoming"

// table is the content of one sorted table: keys in order, none twice.
type table []struct {
	key   string
	value []byte
}

// Begin saves what is known of a run before its first trial: all of it but its
// trials. Until Finish its Partial is Unfinished. A run of the same ID is
// replaced.
func (s *Store) Begin(run *result.Run) error {
	head := *run
	head.Partial = Unfinished
	tables, err := headTables(&head)
	if err != nil {
		return err
	}
	return s.write("save run "+run.ID, runSpan(run.ID), tables...)
}

// PutTrial saves trial n of a run, counted from 0, after Begin; the same trial
// again replaces it. When it returns nil the trial is on the disk. After an
// error those that were saved before are still there, and unless Err is set a
// later call may well succeed.
func (s *Store) PutTrial(id string, n int, t *result.Trial) error {
	if err := checkID(id); err != nil {
		return err
	}
	summary, rest, err := trialTables(id, n, t)
	if err != nil {
		return err
	}
	return s.write(fmt.Sprintf("save trial %d of run %s", n+1, id), keySpan(summary[0].key), summary, rest)
}

// Finish saves a run anew without its trials, which stay as PutTrial saved them:
// its end, its section Apart, and Partial as it is in run.
func (s *Store) Finish(run *result.Run) error {
	tables, err := headTables(run)
	if err != nil {
		return err
	}
	span := pebble.KeyRange{Start: []byte(apartKey(run.ID)), End: keySpan(configKey(run.ID)).End}
	return s.write("save the end of run "+run.ID, span, tables...)
}

// Put saves a whole run with its trials, as after an import. A run of the same ID
// is replaced. All of it is saved, or nothing.
func (s *Store) Put(run *result.Run) error {
	tables, err := headTables(run)
	if err != nil {
		return err
	}
	var summaries, rests table
	for n := range run.Trials {
		summary, rest, err := trialTables(run.ID, n, &run.Trials[n])
		if err != nil {
			return err
		}
		summaries = append(summaries, summary...)
		rests = append(rests, rest...)
	}
	return s.write("save run "+run.ID, runSpan(run.ID), append(tables, summaries, rests)...)
}

// headTables returns the keys apart and config of a run.
func headTables(run *result.Run) ([]table, error) {
	if err := checkID(run.ID); err != nil {
		return nil, err
	}
	head := *run
	head.Apart, head.Trials = nil, nil
	apart, err := encode("section apart of run "+run.ID, run.Apart)
	if err != nil {
		return nil, err
	}
	config, err := encode("run "+run.ID, &head)
	if err != nil {
		return nil, err
	}
	return []table{{{apartKey(run.ID), apart}, {configKey(run.ID), config}}}, nil
}

// histograms are those of a trial, by window and operation.
type histograms map[string]map[string]string

// trialTables returns the summary of a trial and its large parts, which are
// always all written, so that they replace those of a trial saved before.
func trialTables(id string, n int, t *result.Trial) (summary, rest table, err error) {
	if n < 0 || n >= maxTrials {
		return nil, nil, fmt.Errorf("trial %d of run %s: not within 0 and %d", n, id, maxTrials-1)
	}
	small, hist := *t, histograms{}
	small.Series, small.Memory, small.Windows = nil, nil, nil
	for name, w := range t.Windows {
		if w == nil {
			continue
		}
		bare := *w
		bare.Ops, hist[name] = map[string]result.Latencies{}, map[string]string{}
		for op, l := range w.Ops {
			if l.Histogram != "" {
				hist[name][op] = l.Histogram
			}
			l.Histogram = ""
			bare.Ops[op] = l
		}
		if small.Windows == nil {
			small.Windows = map[string]*result.Window{}
		}
		small.Windows[name] = &bare
	}
	add := func(to *table, key, part string, v any) {
		if err != nil {
			return
		}
		var value []byte
		value, err = encode(fmt.Sprintf("%s of trial %d of run %s", part, n+1, id), v)
		*to = append(*to, struct {
			key   string
			value []byte
		}{key, value})
	}
	add(&summary, summaryKey(id, n), "summary", &small)
	add(&rest, trialKey(id, n, partHist), "histograms", hist)
	add(&rest, trialKey(id, n, partMemory), "memory", t.Memory)
	add(&rest, trialKey(id, n, partSeries), "series", t.Series)
	return summary, rest, err
}

// encode names what it could not put in JSON: infinities and the like.
func encode(what string, v any) ([]byte, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return value, nil
}

// write puts all tables into the database and removes what the span held before,
// in one step that is on the disk when it returns.
func (s *Store) write(doing string, span pebble.KeyRange, tables ...table) error {
	if err := s.writable(); err != nil {
		return err
	}
	files, options := s.fs, s.options
	_, err := inDB(s, doing, func(db *pebble.DB) (struct{}, error) {
		var none struct{}
		var paths []string
		defer func() {
			for _, p := range paths {
				_ = files.Remove(p) // pebble has linked it, or it is of no use
			}
		}()
		for _, t := range tables {
			if len(t) == 0 {
				continue
			}
			path := filepath.Join(s.dir, fmt.Sprintf("%d%s", len(paths), incomingExt))
			paths = append(paths, path)
			if err := writeTable(files, path, options.MakeWriterOptions(0, db.TableFormat()), t); err != nil {
				return none, err
			}
		}
		_, err := db.IngestAndExcise(context.Background(), paths, nil, nil, span)
		return none, err
	})
	return err
}

// writeTable writes and syncs a sorted table as a file.
func writeTable(files vfs.FS, path string, options sstable.WriterOptions, t table) error {
	f, err := files.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), options)
	for _, e := range t {
		if err := w.Set([]byte(e.key), e.value); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return w.Close()
}

func (s *Store) writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.readOnly {
		return fmt.Errorf("%s: %w", s.dir, ErrReadOnly)
	}
	return nil
}

// The keys, see the package comment.

const (
	formatKey = "meta/format"
	runsStart = "run/"
	runsEnd   = "run0" // '0' follows '/'

	partHist   = "hist"
	partMemory = "memory"
	partSeries = "series"
)

func apartKey(id string) string          { return runsStart + id + "/apart" }
func configKey(id string) string         { return runsStart + id + "/config" }
func summaryPrefix(id string) string     { return runsStart + id + "/summary/" }
func summaryKey(id string, n int) string { return fmt.Sprintf("%s%05d", summaryPrefix(id), n) }
func trialPrefix(id string) string       { return runsStart + id + "/trial/" }

func trialKey(id string, n int, part string) string {
	return fmt.Sprintf("%s%05d/%s", trialPrefix(id), n, part)
}

// keySpan is the span of one key.
func keySpan(key string) pebble.KeyRange {
	return pebble.KeyRange{Start: []byte(key), End: []byte(key + "\x00")}
}

// runSpan is the span of all keys of a run.
func runSpan(id string) pebble.KeyRange {
	return pebble.KeyRange{Start: []byte(runsStart + id + "/"), End: []byte(runsStart + id + "0")}
}

// checkID refuses what would not be found again.
func checkID(id string) error {
	const longest = 100
	bad := strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '~' })
	if id == "" || len(id) > longest || bad || strings.HasPrefix(id, lastRef) {
		return fmt.Errorf("%q cannot be the ID of a run", id)
	}
	return nil
}
