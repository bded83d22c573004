package command

import "slices"

// Option changes what NewEngine makes.
type Option func(*Engine)

// Commands limits an engine to the commands that keep names, by their lower-case
// names and with all their subcommands, and to rows of the caller's own, which
// take the place of kept ones of the same name. Every other command is unknown to
// the engine's clients. The rows are copied; other engines keep the whole table.
//
// It panics at a name that there is no command for, and at a row without a
// handler: both are mistakes in a program, not in its input.
func Commands(keep []string, rows ...*Spec) Option {
	return func(e *Engine) { e.state.table = choose(keep, rows) }
}

// Row returns a copy of a command's row, to be given to Commands with another
// handler: arity, flags, keys and documentation stay. It panics if there is no
// command of that (lower-case) name.
//
// A handler that uses Ctx.Await, or whose data are not in the engine's store,
// sets Lock to LockSelf.
func Row(name string) *Spec {
	s := sharedTable().lookupName([]byte(name))
	if s == nil {
		panic("command: no row for " + name)
	}
	return s.clone()
}

// choose assembles the table of an engine with a choice of commands.
func choose(keep []string, rows []*Spec) *table {
	t := &table{}
	for _, s := range rows {
		if s.Handler == nil && len(s.Sub) == 0 {
			panic("command: no handler for " + s.Name)
		}
		t.add(s.clone())
	}
	for _, name := range keep {
		if !slices.ContainsFunc(rows, func(s *Spec) bool { return s.Name == name }) {
			t.add(Row(name))
		}
	}
	return t
}

// clone returns a copy that a table may finish as its own.
func (s *Spec) clone() *Spec {
	c := *s
	c.Sub = make([]*Spec, len(s.Sub))
	for i, sub := range s.Sub {
		c.Sub[i] = sub.clone()
	}
	if len(s.Sub) == 0 {
		c.Sub = nil // lookup tells containers by it
	}
	return &c
}
