package command

var connectionCommands = []*Spec{}
