package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"kvd/bench/internal/result"
)

// Types of lines.
const (
	typeRun   = "run"
	typeTrial = "trial"
)

// runLine is the first line: the run without its trials.
type runLine struct {
	Type   string `json:"type"`
	Format int    `json:"format"`
	*result.Run
	Trials any `json:"trials,omitempty"` // hides the run's own, which have lines of theirs
}

// trialLine is the line of one trial.
type trialLine struct {
	Type string `json:"type"`
	*result.Trial
}

// WriteJSONL writes a run as JSON lines: {"type":"run",…} with its configuration,
// machine and section apart, then {"type":"trial",…} for every trial, complete
// with series and histograms. ReadJSONL gives the same run back.
func WriteJSONL(w io.Writer, run *result.Run) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out) // ends every value with a line feed
	if err := enc.Encode(runLine{Type: typeRun, Format: formatVersion, Run: run}); err != nil {
		return fmt.Errorf("run %s as JSON: %w", run.ID, err)
	}
	for n := range run.Trials {
		if err := enc.Encode(trialLine{typeTrial, &run.Trials[n]}); err != nil {
			return fmt.Errorf("trial %d of run %s as JSON: %w", n+1, run.ID, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("run %s as JSON: %w", run.ID, err)
	}
	return nil
}

// ReadJSONL reads one run as WriteJSONL wrote it. Lines may be of any length;
// empty ones are passed over. Errors name the line. When a later line than the
// first is bad, the run with the trials before it is returned beside the error.
func ReadJSONL(r io.Reader) (*result.Run, error) {
	in := bufio.NewReader(r)
	var run *result.Run
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			if lineErr := readLine(&run, text); lineErr != nil {
				return run, fmt.Errorf("line %d: %w", n, lineErr)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return run, err
		}
	}
	if run == nil {
		return nil, errors.New("no run in it: the first line must be of type run")
	}
	return run, nil
}

// readLine adds one line to the run, which the first one makes.
func readLine(run **result.Run, text []byte) error {
	var kind struct {
		Type   string `json:"type"`
		Format int    `json:"format"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return fmt.Errorf("not a line of results: %w", err)
	}
	switch {
	case kind.Type == typeRun && *run != nil:
		return errors.New("a second run; there is one to a file")
	case kind.Type == typeRun && kind.Format > formatVersion:
		return fmt.Errorf("%w: %d; this program knows format %d", ErrNewer, kind.Format, formatVersion)
	case kind.Type == typeRun:
		head := &result.Run{}
		if err := json.Unmarshal(text, &runLine{Run: head}); err != nil {
			return err
		}
		if err := checkID(head.ID); err != nil {
			return err
		}
		*run = head
		return nil
	case kind.Type != typeTrial:
		return fmt.Errorf("unknown type %q", kind.Type)
	case *run == nil:
		return errors.New("a trial before its run")
	}
	t := result.Trial{}
	if err := json.Unmarshal(text, &trialLine{Trial: &t}); err != nil {
		return err
	}
	(*run).Trials = append((*run).Trials, t)
	return nil
}
