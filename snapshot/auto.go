package snapshot

import (
	"fmt"
	"time"
)

// autoInputs are the figures by which AUTO chooses an engine. Sizes are bytes.
type autoInputs struct {
	CanFork bool // false in a program built with the race detector

	// The last clone(2), the resident data it was made at, and how many
	// background saves there were since. LastClone is 0 before the first.
	LastClone         time.Duration
	LastCloneResident int64
	SavesSinceClone   int

	Resident  int64   // data in memory now
	Huge      bool    // the system gives huge pages
	HugeShare float64 // of Resident, 0 to 1

	Free       int64  // memory that may still be taken, -1 if unknown
	FreeSource string // who says so

	WriteRate float64 // changes per second, over the last few
	EntrySize int64   // mean of a key with its value
	Seconds   float64 // how long the save will take, see expectedSeconds

	// LimitEngine is the engine whose last save was given up at the
	// save-memory-limit; 0 if the last save was not.
	LimitEngine Engine

	// ForkFailed is why the last fork failed, "" if it did not: a clone that the
	// system refused, a child that was killed.
	ForkFailed string
}

// The bounds of AUTO.
const (
	autoCloneMax  = 5 * time.Millisecond // every client waits while the process is cloned
	autoSmallPage = 256 << 20            // data that 4 KiB pages are fit for
	autoHugeShare = 0.5
	autoRateMax   = 20_000 // the first write to a shared page takes its writer some microseconds
	pageCopied    = 4096   // what the kernel copies for a write, huge page or not

	// cloneMemory is how many saves a measured clone counts for. A single slow
	// one would otherwise rule out fork, and with it any newer measurement, for
	// ever.
	cloneMemory = 16
	// cloneScalable is the data from which on the duration of a clone is
	// proportional to them; below it is mostly what every process costs.
	cloneScalable = 256 << 20

	cloneHugePerGB  = time.Millisecond
	cloneSmallPerGB = 12 * time.Millisecond
)

// chooseAuto returns the engine for a save, and why in one phrase. Fork isolates
// the save from the server, so it is chosen wherever that costs clients nothing
// and the memory will do.
func chooseAuto(in autoInputs) (Engine, string) {
	if !in.CanFork {
		return Thread, "this program cannot fork: it was built with the race detector"
	}
	if in.ForkFailed != "" {
		return Thread, "the last save by fork failed: " + in.ForkFailed
	}
	switch in.LimitEngine {
	case Fork:
		return Thread, "the last save, by fork, reached save-memory-limit"
	case Thread:
		return Fork, "the last save, by thread, reached save-memory-limit"
	}
	clone, how := in.clone()
	if clone > autoCloneMax {
		return Thread, fmt.Sprintf("%s, %s at most", how, millis(autoCloneMax))
	}
	if in.Resident > autoSmallPage {
		if !in.Huge {
			return Thread, fmt.Sprintf("there are no huge pages for %s of data, %s at most", size(in.Resident), size(autoSmallPage))
		}
		if in.HugeShare < autoHugeShare {
			return Thread, fmt.Sprintf("%.0f %% of %s of data are on huge pages, %.0f %% at least",
				100*in.HugeShare, size(in.Resident), 100*autoHugeShare)
		}
	}
	if in.WriteRate > autoRateMax {
		return Thread, fmt.Sprintf("%.0f writes per second, %d at most", in.WriteRate, autoRateMax)
	}
	extra := in.forkExtra()
	if in.Free >= 0 && extra > in.Free/2 {
		return Thread, fmt.Sprintf("fork may take %s of extra memory (%.0f writes per second for %.1f s), half of the %s that %s allows at most",
			size(extra), in.WriteRate, in.Seconds, size(in.Free), in.FreeSource)
	}
	return Fork, fmt.Sprintf("%s, %.0f writes per second and %s of extra memory are no burden", how, in.WriteRate, size(extra))
}

// clone returns how long a clone is expected to take, and a phrase that says on
// what grounds.
func (in *autoInputs) clone() (time.Duration, string) {
	perGB := cloneSmallPerGB
	if in.Huge {
		perGB = cloneHugePerGB
	}
	byTable := func(bytes int64) time.Duration { return time.Duration(float64(perGB) * float64(bytes) / (1 << 30)) }
	if in.LastClone <= 0 || in.SavesSinceClone > cloneMemory {
		d := byTable(in.Resident)
		return d, fmt.Sprintf("a clone of %s of data is estimated at %s", size(in.Resident), millis(d))
	}
	measured := fmt.Sprintf("the last clone took %s", millis(in.LastClone))
	var d time.Duration
	if in.LastCloneResident >= cloneScalable {
		d = time.Duration(float64(in.LastClone) * float64(in.Resident) / float64(in.LastCloneResident))
	} else {
		d = in.LastClone + max(0, byTable(in.Resident-in.LastCloneResident))
	}
	if diff := d - in.LastClone; diff.Abs() < 100*time.Microsecond {
		return d, measured
	}
	return d, fmt.Sprintf("%s at %s of data, which is %s at today's %s",
		measured, size(in.LastCloneResident), millis(d), size(in.Resident))
}

// forkExtra returns an upper bound of what a save by fork costs: a copy of every
// page that is written to, and the entries that are replaced meanwhile, in bytes.
func (in *autoInputs) forkExtra() int64 {
	writes := max(0, in.WriteRate*in.Seconds)
	data := float64(in.Resident)
	return int64(min(writes*pageCopied, data) + min(writes*float64(max(0, in.EntrySize)), data))
}

// guessedSpeed is how fast a save is until one was seen, in bytes per second.
const guessedSpeed = 200e6

// expectedSeconds returns how long a save of data bytes will take if it is as
// fast as the last one, which did bytes of the data in seconds; 0 and 0 if there
// was none.
func expectedSeconds(data, bytes int64, seconds float64) float64 {
	speed := float64(guessedSpeed)
	if bytes > 0 && seconds > 0 {
		speed = float64(bytes) / seconds
	}
	return float64(max(0, data)) / speed
}

// millis words a duration.
func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// size words a number of bytes.
func size(n int64) string {
	const mb, gb = 1 << 20, 1 << 30
	if n < gb {
		return fmt.Sprintf("%.0f MB", float64(n)/mb)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/gb)
}
