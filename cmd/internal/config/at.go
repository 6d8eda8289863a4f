package config

// At is an error about a key of [main] that is well written and wrong all the same, such as a dataset that
// is not there: it points to the key's line as Load's errors do.
func At(path string, env Env, key, text, hint string) *Errors {
	p := Problem{Section: mainSection, Key: key, Text: text, Hint: hint}
	if data, _, err := readOwned(path, env.UID, largest); err == nil {
		l := newLoader(path, env, parse(string(data)))
		if e, ok := l.doc.find(mainSection, key); ok {
			l.bad(field{entry: e, hide: secretKey(key)}, text, hint)
			p = l.problems[0]
		}
	}
	return &Errors{path, []Problem{p}}
}

func secretKey(name string) bool {
	for _, k := range Keys {
		if k.Name == name {
			return k.Secret
		}
	}
	return false
}
