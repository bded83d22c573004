package command

// The builders below keep the tables of commands readable.

func noted(k KeySpec, notes string) KeySpec {
	k.Notes = notes
	return k
}

// keyArg describes a key argument that belongs to the KeySpec with that index.
func keyArg(name string, keySpec int) Arg {
	return Arg{Name: name, Type: "key", KeySpec: keySpec + 1}
}

func valueArg(name, typ string) Arg { return Arg{Name: name, Type: typ} }

// optionArg describes a value behind a keyword.
func optionArg(name, typ, token string) Arg { return Arg{Name: name, Type: typ, Token: token} }

// tokenArg describes a keyword without a value.
func tokenArg(name, token string) Arg { return Arg{Name: name, Type: "pure-token", Token: token} }

func oneOfArg(name string, args ...Arg) Arg { return Arg{Name: name, Type: "oneof", Args: args} }

func blockArg(name string, args ...Arg) Arg { return Arg{Name: name, Type: "block", Args: args} }

func (a Arg) optional() Arg {
	a.Optional = true
	return a
}

func (a Arg) multiple() Arg {
	a.Multiple = true
	return a
}

// from sets the version of Redis that brought the argument.
func (a Arg) from(version string) Arg {
	a.Since = version
	return a
}
