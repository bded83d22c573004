package snapshot

import "kvd/snapshot/internal/fork"

// engines returns those that work in this test binary.
func engines() []Engine {
	if fork.RaceEnabled {
		return []Engine{Thread, Copy, Foreground}
	}
	return []Engine{Fork, Thread, Copy, Foreground}
}
