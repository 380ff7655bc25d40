;; Wants something that no standard names.
(component
  (import "example:vault/secrets@1.0.0" (instance
    (export "read" (func (param "name" string) (result string)))
  ))
)
