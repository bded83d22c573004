//go:build race

package fork

// RaceEnabled tells that the program is built with the race detector. Its
// instrumentation would run in the child too, which it does not survive: then
// Prepare fails with ErrRace, and tests that fork should be skipped.
const RaceEnabled = true
