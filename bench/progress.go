//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress says what is being done: on a terminal in one line that changes, else
// in a line for each new step.
type progress struct {
	out      *os.File
	terminal bool
	last     string
	begin    time.Time
	drawn    time.Time
}

// redrawEvery bounds how often the line changes; drawing takes time on the cores
// that are measured.
const redrawEvery = 100 * time.Millisecond

func newProgress(out *os.File) *progress {
	return &progress{out: out, terminal: term.IsTerminal(int(out.Fd())), begin: time.Now()}
}

// step shows a step and, from 0 to 1, how much of it is done; below 0: unknown.
func (p *progress) step(text string, done float64) {
	now := time.Now()
	fresh := text != p.last
	if !fresh && (!p.terminal || now.Sub(p.drawn) < redrawEvery) {
		return
	}
	p.last, p.drawn = text, now
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	if done >= 0 {
		text += fmt.Sprintf(" %3.0f %%", 100*done)
	}
	text = fmt.Sprintf("%4.0f s  %s", now.Sub(p.begin).Seconds(), text)
	// A terminal that does not know its width says 0. Names may be of any letters.
	if width, _, err := term.GetSize(int(p.out.Fd())); err == nil && width > 0 {
		if letters := []rune(text); len(letters) >= width {
			text = string(letters[:width-1])
		}
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s", text)
}

// line prints a line that stays.
func (p *progress) line(text string) {
	p.clear()
	fmt.Fprintln(p.out, strings.TrimRight(text, "\n"))
}

// clear takes the changing line away.
func (p *progress) clear() {
	if p.terminal && p.last != "" {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.last = ""
}
