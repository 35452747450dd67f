"""Parts of the lab that are no benchmark by themselves: commands, methods, protocols, data sets."""
