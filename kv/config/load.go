package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxFileBytes    = 16 << 20 // of one configuration file
	maxIncludeDepth = 32       // of files that include each other
)

// LoadError is a line of the configuration that kvd cannot start with. Error words it as Redis prints it to standard
// error, over several lines, the first of them empty.
type LoadError struct {
	File   string // path, "standard input" or "command line"; "" if the error is not about one line
	Line   int    // from 1; 0 for the command line
	Text   string // the line
	Reason string
}

func (e *LoadError) Error() string {
	var b strings.Builder
	b.WriteString("\n*** FATAL CONFIG FILE ERROR (kvd) ***\n")
	switch {
	case e.File == "":
	case e.Line == 0:
		fmt.Fprintf(&b, "Reading the %s\n>>> '%s'\n", e.File, e.Text)
	default:
		fmt.Fprintf(&b, "Reading the configuration file, at line %d of %s\n>>> '%s'\n", e.Line, e.File, e.Text)
	}
	b.WriteString(e.Reason)
	return b.String()
}

// position is where a directive was set last.
type position struct {
	file string
	line int
	text string
}

func (p position) fail(reason string) *LoadError {
	return &LoadError{File: p.file, Line: p.line, Text: p.text, Reason: reason}
}

// loader reads files into values of its own, which become the Config's when all went well.
type loader struct {
	c      *Config
	values []value
	set    map[int]position
	order  []int // rows in the order in which they were first set
	ignore []string
	state  loadState
	depth  int
}

// ParseCommandLine splits the arguments of the process (without its name) into the path of a configuration file, which
// is "" if the first argument is an option, and the options.
func ParseCommandLine(argv []string) (path string, options []string) {
	if len(argv) > 0 && argv[0] != "" && !strings.HasPrefix(argv[0], "-") {
		return argv[0], argv[1:]
	}
	return "", argv
}

// Load reads the configuration: the file at path (none if ""), then standard input if path is "-" or the first or last
// argument is, then args as redis-server takes them: --name value … . A later setting wins over an earlier one. On error
// the Config is unchanged. The error is a *LoadError for a line that cannot be used, and otherwise the complete sentence
// for the log.
func (c *Config) Load(path string, stdin io.Reader, args []string) error {
	options, fromStdin := optionLines(args, path == "")
	if path == "-" {
		path, fromStdin = "", true
	}
	l := &loader{c: c, values: slices.Clone(*c.values.Load()), set: map[int]position{}}
	file := ""
	if path != "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return cantOpen(path, err)
		}
		file = abs
		if err := l.readPath(abs); err != nil {
			return err
		}
	}
	if fromStdin {
		c.notice("Reading config from stdin")
		content, err := io.ReadAll(io.LimitReader(stdin, maxFileBytes+1))
		if err != nil || len(content) > maxFileBytes {
			return sentence("Fatal error, can't read the configuration from standard input: " + strError(cmp.Or(err, errTooLarge)))
		}
		if err := l.readLines(string(content), position{file: "standard input"}); err != nil {
			return err
		}
	}
	if err := l.readLines(options, position{file: "command line", line: -1}); err != nil {
		return err
	}
	if err := l.finish(); err != nil {
		return err
	}
	c.file = file
	c.values.Store(&l.values)
	return nil
}

var errTooLarge = errors.New("larger than 16 MiB")

// sentence is an error that is logged as it stands.
type sentence string

func (s sentence) Error() string { return string(s) }

func cantOpen(path string, err error) error {
	return sentence("Fatal error, can't open config file '" + path + "': " + strError(err))
}

// optionLines turns arguments into lines of a configuration file. An argument that starts with -- begins a line, unless
// the one before it began one too and still lacks its value; a value is quoted. An empty --save means no save points.
func optionLines(args []string, first bool) (lines string, stdin bool) {
	var b strings.Builder
	complete := true
	for i, arg := range args {
		last := i == len(args)-1
		switch {
		case arg == "-" && (i == 0 && first || last):
			stdin = true
		case complete && strings.HasPrefix(arg, "--"):
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(arg[2:] + " ")
			words, _ := SplitArgs(arg)
			complete = len(words) != 1
			if strings.EqualFold(arg, "--save") && (last || strings.HasPrefix(args[i+1], "--")) {
				b.WriteString(`""`)
				complete = true
			}
		default:
			b.WriteString(Quote(arg) + " ")
			complete = true
		}
	}
	return b.String(), stdin
}

// readPath reads a file, or all files that a pattern matches, which may be none.
func (l *loader) readPath(path string) error {
	paths := []string{path}
	if strings.ContainsAny(path, "*?[") {
		var err error
		if paths, err = filepath.Glob(path); err != nil {
			return nil // Redis' glob, too, finds nothing for a bad pattern
		}
	}
	for _, p := range paths {
		content, err := readFile(p)
		if err != nil {
			return cantOpen(p, err)
		}
		if err := l.readLines(content, position{file: p}); err != nil {
			return err
		}
	}
	return nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(content) > maxFileBytes {
		err = errTooLarge
	}
	return string(content), err
}

// readLines reads the lines of a file; at says which, and has the line -1 where lines are not counted.
func (l *loader) readLines(content string, at position) error {
	for i, line := range strings.Split(content, "\n") {
		at.text = strings.Trim(line, " \t\r\n")
		if at.line >= 0 {
			at.line = i + 1
		}
		if at.text == "" || at.text[0] == '#' {
			continue
		}
		shown := at
		shown.line = max(at.line, 0)
		args, ok := SplitArgs(at.text)
		if !ok {
			return shown.fail("Unbalanced quotes in configuration line")
		}
		if err := l.directive(shown, strings.ToLower(args[0]), args[1:]); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) directive(at position, name string, args []string) error {
	row, ok := lookup(name)
	if !ok {
		return l.fileOnly(at, name, args)
	}
	d := &directives[row]
	if d.flags&multi == 0 && len(args) != 1 {
		return at.fail("wrong number of arguments")
	}
	if d.flags&multi != 0 && len(args) == 1 && args[0] != "" {
		// --save "900 1 300 10" on the command line.
		split, ok := SplitArgs(args[0])
		if !ok {
			return at.fail("Unbalanced quotes in configuration line")
		}
		args = split
	}
	v, problem := d.parseArgs(&l.state, l.values[row], args)
	if problem != "" {
		return at.fail(problem)
	}
	l.values[row] = v
	if _, again := l.set[row]; !again {
		l.order = append(l.order, row)
	}
	l.set[row] = at
	return nil
}

// fileOnly handles what exists in configuration files but not in CONFIG GET.
func (l *loader) fileOnly(at position, name string, args []string) error {
	switch {
	case name == "include" && len(args) == 1:
		return l.include(at, args[0])
	case slices.Contains(deprecated, name) && len(args) == 1:
		l.ignore = append(l.ignore, name)
		return nil
	case name == "user" && len(args) >= 1:
		if isDefaultUser(args) {
			return nil
		}
		return at.fail("kvd does not support 'user' yet: there are no access control lists, everybody could do everything")
	case name == "rename-command" && len(args) == 2:
		return at.fail("kvd does not support 'rename-command' yet: the command would stay within everybody's reach")
	case name == "loadmodule" && len(args) >= 1:
		return at.fail("kvd does not support 'loadmodule': there are no modules")
	case name == "sentinel":
		return at.fail("sentinel directive while not in sentinel mode")
	}
	return at.fail("Bad directive or wrong number of arguments")
}

// deprecated directives are those that Redis 7.0 itself accepts without effect.
var deprecated = []string{"list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"}

// isDefaultUser recognises the line that Redis' CONFIG REWRITE writes when no user was ever changed: everybody may do
// everything, which is what no line means.
func isDefaultUser(args []string) bool {
	line := strings.ToLower(strings.Join(args, " "))
	return line == "default on nopass sanitize-payload ~* &* +@all" || line == "default on nopass ~* &* +@all"
}

func (l *loader) include(at position, path string) error {
	if l.depth == maxIncludeDepth {
		return at.fail(fmt.Sprintf("include is nested more than %d files deep", maxIncludeDepth))
	}
	if !filepath.IsAbs(path) {
		// Redis follows the dir directive at once, so that it counts for the includes behind it.
		path = filepath.Join(l.values[index["dir"]].text, path)
	}
	l.depth++
	defer func() { l.depth-- }()
	return l.readPath(path)
}

// finish checks what only the whole configuration can tell, and collects the lines about directives without effect.
func (l *loader) finish() error {
	for _, row := range l.order {
		if d := &directives[row]; d.active(row, l.values[row]) {
			return l.set[row].fail(d.refusal(l.values[row]))
		}
	}
	if name := l.values[index["logfile"]].text; name != "" {
		if !filepath.IsAbs(name) {
			name = filepath.Join(l.values[index["dir"]].text, name)
		}
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return &LoadError{Reason: "Can't open the log file: " + strError(err)}
		}
		_ = f.Close()
	}
	atDefault := l.ignore
	for _, row := range l.order {
		d := &directives[row]
		if d.class != Harmless {
			continue
		}
		if l.values[row].text == defaults[row].text {
			atDefault = append(atDefault, d.name)
			continue
		}
		l.c.noteHarmless(d, l.values[row])
	}
	if len(atDefault) > 0 {
		l.c.notice("Directives accepted that have no effect in kvd: %s", strings.Join(atDefault, ", "))
	}
	return nil
}

func (c *Config) noteHarmless(d *directive, v value) {
	c.notice("Directive '%s %s' is accepted but has no effect in kvd: %s", d.name, quoteIfNeeded(v.text), d.why)
}
