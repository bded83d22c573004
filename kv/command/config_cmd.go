package command

import "kvd/kv/config"

var configHelp = helpText("CONFIG",
	"GET <pattern> [<pattern> ...]", "Return the directives that match a pattern, and their values.",
	"SET <directive> <value> [<directive> <value> ...]", "Change directives, all or none.",
	"RESETSTAT", "Set the counters of INFO to zero.",
	"REWRITE", "Write the present values into the configuration file.",
)

func cmdConfigHelp(x *Ctx) { x.Strings(configHelp) }

func cmdConfigGet(x *Ctx) {
	patterns := make([]string, len(x.Args)-2)
	for i, a := range x.Args[2:] {
		patterns[i] = string(a)
	}
	pairs := x.Config.Match(patterns)
	x.Map(len(pairs))
	for _, p := range pairs {
		x.pair(p.Name, p.Value)
	}
}

func cmdConfigSet(x *Ctx) {
	if len(x.Args)%2 != 0 {
		x.Err(errSyntax)
		return
	}
	var pairs []config.Pair
	for i := 2; i < len(x.Args); i += 2 {
		pairs = append(pairs, config.Pair{Name: string(x.Args[i]), Value: string(x.Args[i+1])})
	}
	err := x.Config.SetAs(config.Caller{Local: x.Client.Local, Loading: x.IsLoading()}, pairs)
	for _, line := range x.Config.Notices() {
		x.Log.Warn(line)
	}
	if err != nil {
		x.Err(err.Error())
		return
	}
	x.OK()
}

func cmdConfigResetStat(x *Ctx) {
	x.resetStats()
	x.OK()
}

func cmdConfigRewrite(x *Ctx) {
	if err := x.Config.Rewrite(); err != nil {
		x.Log.Warn("CONFIG REWRITE failed: " + err.Error())
		x.Err(err.Error())
		return
	}
	x.Log.Info("CONFIG REWRITE executed with success.")
	x.OK()
}
