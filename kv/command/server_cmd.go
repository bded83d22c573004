package command

var serverCommands = []*Spec{}
