;; Wants the directories that the host has opened.
(component
  (import "wasi:filesystem/types@0.2.12" (instance $types
    (export "descriptor" (type (sub resource)))
  ))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.12" (instance
    (alias outer 1 $descriptor (type $own))
    (export "descriptor" (type $mine (eq $own)))
    (export "get-directories" (func (result (list (tuple (own $mine) string)))))
  ))
)
