package state

// Opened is what was in a manifest when it was opened, so that it need not be opened again where the same object is found:
// a copy of what lies at a remote. It may be lost, or be of an object that is no longer there.
type Opened struct {
	Job    string `json:"job"`    // on record here, at whose place it lies
	Name   string `json:"name"`   // its folder there
	SHA256 string `json:"sha256"` // of the object that was opened
	// By is the same word for all that one passphrase opened, and says nothing of it.
	By   string `json:"by"`
	Text string `json:"text"` // what was in the object
}

// Opened lists what was opened at a job's place, by name.
func (tx *Tx) Opened(job string) ([]Opened, error) {
	return values[Opened](tx, BucketOpened, job+"/")
}

// PutOpened stores one, in place of the one of that name.
func (tx *Tx) PutOpened(o Opened) error { return Put(tx, BucketOpened, backupKey(o.Job, o.Name), o) }

// DropOpened removes one, which need not be there.
func (tx *Tx) DropOpened(job, name string) error {
	return Delete(tx, BucketOpened, backupKey(job, name))
}
