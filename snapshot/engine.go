package snapshot

import (
	"fmt"
	"strings"
)

// Engine is a way to hold the store still while it is saved.
type Engine uint8

// The engines. The zero Engine means Auto where one is asked for, and none where
// one is reported. Auto chooses Fork or Thread when the save begins.
const (
	Fork Engine = iota + 1
	Thread
	Copy
	Foreground
	Auto
)

// String returns the name that INFO and BGSAVE use, "none" for the zero Engine.
func (e Engine) String() string {
	switch e {
	case Fork:
		return "fork"
	case Thread:
		return "thread"
	case Copy:
		return "copy"
	case Foreground:
		return "foreground"
	case Auto:
		return "auto"
	}
	return "none"
}

// ParseEngine returns the background engine of a name: fork, thread, forkless
// (another name of thread), copy or auto, in any case.
func ParseEngine(name string) (Engine, error) {
	switch strings.ToLower(name) {
	case "fork":
		return Fork, nil
	case "thread", "forkless":
		return Thread, nil
	case "copy":
		return Copy, nil
	case "auto":
		return Auto, nil
	}
	return 0, fmt.Errorf("snapshot: no engine %q", name)
}
