// Package noise is for tests of what measures time, memory and CPU: their figures
// are disturbed by whatever else the machine does. It imports nothing of kvd.
package noise

import (
	"fmt"
	"testing"
	"time"
)

// Patience is how long a test waits for an event that is sure to come: much longer
// than any machine keeps a process waiting, so that only what never comes fails.
const Patience = time.Minute

// restTime grows from attempt to attempt: a burst of other work passes.
const restTime = 100 * time.Millisecond

// T is a testing.TB whose Error and Errorf spoil the attempt that is under way and
// nothing else. Fatal and its like end the test, as ever.
type T struct {
	testing.TB
	faults []string
}

// Error spoils the attempt.
func (t *T) Error(args ...any) { t.faults = append(t.faults, fmt.Sprintln(args...)) }

// Errorf spoils the attempt.
func (t *T) Errorf(format string, args ...any) {
	t.faults = append(t.faults, fmt.Sprintf(format, args...)+"\n")
}

// Spoiled tells whether the attempt has failed already.
func (t *T) Spoiled() bool { return len(t.faults) > 0 }

// Attempts runs a scenario until it comes out well, at most n times, and fails the
// test with all that was wrong if it never does. A busy machine spoils one attempt or
// some; a fault of what is tested must spoil every one of them. A scenario must leave
// nothing behind that the next attempt would meet.
func Attempts(tb testing.TB, n int, scenario func(t *T)) {
	tb.Helper()
	var all string
	for i := range n {
		time.Sleep(time.Duration(i) * restTime)
		t := &T{TB: tb}
		scenario(t)
		if !t.Spoiled() {
			return
		}
		for _, f := range t.faults {
			all += fmt.Sprintf("attempt %d: %s", i+1, f)
		}
	}
	tb.Errorf("none of %d attempts came out well:\n%s", n, all)
}

// Wait waits for a condition that is sure to come true, and ends the test if it has
// not after Patience. It asks every millisecond or so.
func Wait(tb testing.TB, what string, until func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(Patience); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("it has not come in %v: %s", Patience, what)
		}
	}
}
