package command

import "kvd/kv"

// typeDirectives are those that kv.Limits are made of.
var typeDirectives = []string{
	"hash-max-listpack-entries", "hash-max-listpack-value", "list-max-listpack-size",
	"set-max-intset-entries", "set-max-listpack-entries", "set-max-listpack-value",
	"zset-max-listpack-entries", "zset-max-listpack-value", "stream-node-max-bytes", "stream-node-max-entries",
}

// followLimits gives the store the limits that the configuration has, now and
// whenever CONFIG SET changes one.
func (e *Engine) followLimits() {
	apply := func() error {
		n := e.Config.Int
		e.Store.SetLimits(kv.Limits{
			HashEntries: n("hash-max-listpack-entries"), HashValue: n("hash-max-listpack-value"),
			ListSize:  n("list-max-listpack-size"),
			SetIntset: n("set-max-intset-entries"), SetEntries: n("set-max-listpack-entries"), SetValue: n("set-max-listpack-value"),
			ZsetEntries: n("zset-max-listpack-entries"), ZsetValue: n("zset-max-listpack-value"),
			StreamBytes: n("stream-node-max-bytes"), StreamEntries: n("stream-node-max-entries"),
		})
		return nil
	}
	for _, name := range typeDirectives {
		e.Config.OnChange(name, apply)
	}
	_ = apply() // it does not fail
}
