package config

import (
	"errors"
	"slices"
	"strings"
)

// Caller is who asks for CONFIG SET.
type Caller struct {
	Local   bool // on the loopback interface or a unix socket
	Loading bool // the dump is still loading
}

// OnChange has fn run whenever Set changed the named directive to a different value, after all getters return the new
// values. An error fails the whole Set: all values go back, and the functions that ran run again with the old ones. fn
// must not call Set or Rewrite. It is for the start: not safe for use beside Set.
func (c *Config) OnChange(name string, fn func() error) {
	row, ok := index[name]
	if !ok {
		panic("config: no directive " + name)
	}
	c.appliers[row] = append(c.appliers[row], fn)
}

// Set is SetAs for the program itself, which may change protected directives if anybody may.
func (c *Config) Set(pairs []Pair) error { return c.SetAs(Caller{Local: true}, pairs) }

// SetAs does CONFIG SET: all pairs or, on error, none. The error's text is the reply for the client, its code (ERR or
// LOADING) included.
func (c *Config) SetAs(caller Caller, pairs []Pair) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows, err := c.resolve(caller, pairs)
	if err != nil {
		return err
	}
	old := c.values.Load()
	values := slices.Clone(*old)
	for i, row := range rows {
		d := &directives[row]
		v, problem := d.parseArgs(nil, values[row], d.setArgs(pairs[i].Value))
		if problem == "" && d.active(row, v) {
			problem = d.refusal(v)
		}
		if problem != "" {
			return failed(strings.ToLower(pairs[i].Name), problem)
		}
		values[row] = v
	}
	c.values.Store(&values)
	if name, err := c.apply(rows, *old, values); err != nil {
		c.values.Store(old)
		c.notice("Failed applying new configuration. Possibly related to new %s setting. Restoring previous settings.", name)
		if _, err := c.apply(rows, values, *old); err != nil {
			c.notice("Failed applying restored failed CONFIG SET command: %v", err)
		}
		return failed(name, err.Error())
	}
	for _, row := range rows {
		if d := &directives[row]; d.class == Harmless {
			c.noteHarmless(d, values[row])
		}
	}
	return nil
}

// setArgs splits the value of a directive with several arguments at every single blank: two in a row enclose an empty
// argument, as in Redis.
func (d *directive) setArgs(v string) []string {
	switch {
	case d.flags&multi == 0:
		return []string{v}
	case v == "":
		return nil
	}
	return strings.Split(v, " ")
}

// resolve finds the rows and reports the first pair that may not be set, before anything is.
func (c *Config) resolve(caller Caller, pairs []Pair) ([]int, error) {
	rows := make([]int, 0, len(pairs))
	for _, p := range pairs {
		row, ok := lookup(p.Name)
		if !ok {
			return nil, errors.New("ERR Unknown option or number of arguments for CONFIG SET - '" + p.Name + "'")
		}
		d := &directives[row]
		switch {
		case d.flags&immutable != 0:
			return nil, failed(p.Name, "can't set immutable config")
		case d.flags&protected != 0 && !c.Allowed("enable-protected-configs", caller.Local):
			return nil, failed(p.Name, "can't set protected config")
		case caller.Loading && d.flags&denyLoading != 0:
			return nil, errors.New("LOADING Redis is loading the dataset in memory")
		case slices.Contains(rows, row):
			return nil, failed(p.Name, "duplicate parameter")
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Allowed reports whether one of the enable-… directives (no, yes, local) lets a client do what it guards.
func (c *Config) Allowed(name string, localClient bool) bool {
	switch c.String(name) {
	case "yes":
		return true
	case "local":
		return localClient
	}
	return false
}

// apply runs the functions of the directives that differ. It stops at an error and returns the directive's name with it.
func (c *Config) apply(rows []int, old, now []value) (string, error) {
	for _, row := range rows {
		if old[row].text == now[row].text {
			continue
		}
		for _, fn := range c.appliers[row] {
			if err := fn(); err != nil {
				return directives[row].name, err
			}
		}
	}
	return "", nil
}

func failed(name, problem string) error {
	return errors.New("ERR CONFIG SET failed (possibly related to argument '" + name + "') - " + problem)
}
