package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func special(name, def string, parse func(*loadState, value, []string) (value, string), lines func(string, value) []string) directive {
	return directive{name: name, kind: kindSpecial, def: def, parse: parse, lines: lines}
}

func flagWords(name, def string, items ...enumItem) directive {
	return directive{name: name, kind: kindFlags, flags: multi, def: def, enum: items, check: checkShutdown}
}

func checkShutdown(v value) string {
	if v.number&3 == 3 {
		return "shutdown options SAVE and NOSAVE can't be used simultaneously"
	}
	return ""
}

func oneLine(name string, v value) []string {
	if v.text == "" {
		return []string{name + ` ""`}
	}
	return []string{name + " " + v.text}
}

func quotedLine(name string, v value) []string { return []string{name + " " + Quote(v.text)} }

// parseSave reads pairs of seconds and changes. In a file the first save directive replaces the default and further ones
// add to it; CONFIG SET replaces everything. No pairs, or one empty argument, means no save points.
func parseSave(l *loadState, prev value, args []string) (value, string) {
	reset := l == nil || !l.saveSeen
	if len(args) == 1 && args[0] == "" {
		args, reset = nil, true
	}
	if len(args)%2 != 0 {
		return value{}, "Invalid save parameters"
	}
	var points []SavePoint
	if old, ok := prev.parsed.([]SavePoint); ok && !reset {
		points = append(points, old...)
	}
	for i := 0; i < len(args); i += 2 {
		seconds, ok1 := parseC(args[i], 10)
		changes, ok2 := parseC(args[i+1], 10)
		if !ok1 || !ok2 || seconds < 1 || changes < 0 || changes > maxInt {
			return value{}, "Invalid save parameters"
		}
		points = append(points, SavePoint{seconds, changes})
	}
	if l != nil {
		l.saveSeen = true
	}
	pairs := make([]string, len(points))
	for i, p := range points {
		pairs[i] = fmt.Sprintf("%d %d", p.Seconds, p.Changes)
	}
	return value{text: strings.Join(pairs, " "), parsed: points}, ""
}

func saveLines(name string, v value) []string {
	points, _ := v.parsed.([]SavePoint)
	if len(points) == 0 {
		return []string{name + ` ""`}
	}
	lines := make([]string, len(points))
	for i, p := range points {
		lines[i] = fmt.Sprintf("%s %d %d", name, p.Seconds, p.Changes)
	}
	return lines
}

// The classes of clients that have limits of their own, in the order in which CONFIG GET prints them.
const (
	classNormal = iota
	classReplica
	classPubsub
	classCount
)

type outputLimits [classCount]OutputLimit

func clientClass(name string) int {
	switch strings.ToLower(name) {
	case "normal":
		return classNormal
	case "slave", "replica":
		return classReplica
	case "pubsub":
		return classPubsub
	}
	return -1
}

// parseOutputLimits reads groups of class, hard limit, soft limit and seconds; classes that are not named keep theirs.
func parseOutputLimits(_ *loadState, prev value, args []string) (value, string) {
	if len(args)%4 != 0 {
		return value{}, "Wrong number of arguments in buffer limit configuration."
	}
	limits, _ := prev.parsed.(outputLimits)
	for i := 0; i < len(args); i += 4 {
		class := clientClass(args[i])
		if class < 0 {
			return value{}, "Invalid client class specified in buffer limit configuration."
		}
		hard, ok1 := parseMemory(args[i+1])
		soft, ok2 := parseMemory(args[i+2])
		seconds, ok3 := parseC(args[i+3], 10)
		if !ok1 || !ok2 || !ok3 || seconds < 0 || seconds > maxInt {
			return value{}, "Error in hard, soft or soft_seconds setting in buffer limit configuration."
		}
		limits[class] = OutputLimit{Hard: hard, Soft: soft, SoftSeconds: seconds}
	}
	words := make([]string, classCount)
	for class, name := range [classCount]string{"normal", "slave", "pubsub"} {
		l := limits[class]
		words[class] = fmt.Sprintf("%s %d %d %d", name, l.Hard, l.Soft, l.SoftSeconds)
	}
	return value{text: strings.Join(words, " "), parsed: limits}, ""
}

func outputLimitLines(name string, v value) []string {
	limits, _ := v.parsed.(outputLimits)
	lines := make([]string, classCount)
	for class, word := range [classCount]string{"normal", "replica", "pubsub"} {
		l := limits[class]
		lines[class] = fmt.Sprintf("%s %s %s %s %d", name, word, formatMemory(l.Hard), formatMemory(l.Soft), l.SoftSeconds)
	}
	return lines
}

func parseOOMValues(_ *loadState, _ value, args []string) (value, string) {
	var adj [3]int64
	if len(args) != len(adj) {
		return value{}, "wrong number of arguments"
	}
	words := make([]string, len(adj))
	for i, arg := range args {
		n, ok := parseC(arg, 10)
		if !ok || n < -2000 || n > 2000 {
			return value{}, "Invalid oom-score-adj-values, elements must be between -2000 and 2000."
		}
		adj[i], words[i] = n, strconv.FormatInt(n, 10)
	}
	return value{text: strings.Join(words, " "), parsed: adj}, ""
}

func parsePercentiles(_ *loadState, _ value, args []string) (value, string) {
	if len(args) == 1 && args[0] == "" {
		args = nil
	}
	percentiles, words := make([]float64, len(args)), make([]string, len(args))
	for i, arg := range args {
		f, err := strconv.ParseFloat(arg, 64)
		if err != nil || f != f || strings.ContainsAny(arg, "_") {
			return value{}, "Invalid latency-tracking-info-percentiles parameters"
		}
		if f < 0 || f > 100 {
			return value{}, "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
		}
		percentiles[i] = f
		words[i] = strings.TrimRight(strings.TrimRight(strconv.FormatFloat(f, 'f', 6, 64), "0"), ".")
	}
	return value{text: strings.Join(words, " "), parsed: percentiles}, ""
}

// parseBind reads addresses; a leading - (the address may be missing on this machine) stays on them.
func parseBind(_ *loadState, _ value, args []string) (value, string) {
	if len(args) > 16 {
		return value{}, "Too many bind addresses specified."
	}
	if len(args) == 1 && args[0] == "" {
		args = nil
	}
	return value{text: strings.Join(args, " ")}, ""
}

// bindLine writes nothing for the default, which is what a file without the line means.
func bindLine(name string, v value) []string {
	if v.text == defaults[index[name]].text {
		return nil
	}
	return oneLine(name, v)
}

// parseDir makes the path absolute, from the directory so far, and resolves links as the kernel would: CONFIG GET dir
// shows what getcwd does.
func parseDir(_ *loadState, prev value, args []string) (value, string) {
	if len(args) != 1 {
		return value{}, "wrong number of arguments"
	}
	dir := args[0]
	if dir == "" {
		return value{}, strError(syscall.ENOENT)
	}
	if !filepath.IsAbs(dir) && prev.text != "" {
		dir = filepath.Join(prev.text, dir)
	}
	// The dot needs the permission to search the directory, as chdir does.
	if _, err := os.Stat(dir + "/."); err != nil {
		return value{}, strError(err)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return value{text: dir}, ""
}

// dirLine is written always: a relative dir means something else to whoever starts kvd from elsewhere.
func dirLine(name string, v value) []string { return quotedLine(name, v) }

func parseReplicaOf(_ *loadState, _ value, args []string) (value, string) {
	if len(args) != 2 {
		return value{}, "wrong number of arguments"
	}
	if strings.EqualFold(args[0], "no") && strings.EqualFold(args[1], "one") {
		return value{}, ""
	}
	port, ok := parseC(args[1], 10)
	if !ok || port < 0 || port > 65535 {
		return value{}, "Invalid master port"
	}
	return value{text: fmt.Sprintf("%s %d", args[0], port)}, ""
}

func replicaOfLine(name string, v value) []string {
	if v.text == "" {
		return nil
	}
	return oneLine(name, v)
}

func parseNotify(_ *loadState, _ value, args []string) (value, string) {
	if len(args) != 1 {
		return value{}, "wrong number of arguments"
	}
	if strings.Trim(args[0], "Ag$lshzxeKEtmdn") != "" {
		return value{}, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
	}
	return value{text: args[0]}, ""
}

// strError words a system error as C's strerror does.
func strError(err error) string {
	s := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		s = errno.Error()
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
