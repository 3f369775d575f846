# What other compiled modules may use of the scan.

cdef class Frame:
    cdef readonly bytes raw
    cdef readonly Py_ssize_t at
    cdef readonly Py_ssize_t units
    cdef readonly Py_ssize_t offset
    cdef readonly int kind
    cdef readonly Py_ssize_t pattern_at
    cdef readonly Py_ssize_t pattern_end
    cdef readonly Py_ssize_t data_at
    cdef readonly Py_ssize_t metadata_at
    cdef readonly Py_ssize_t metadata_end
    cdef readonly Py_ssize_t id_at
    cdef readonly Py_ssize_t id_end
    cdef readonly Py_ssize_t err_at
    cdef readonly Py_ssize_t err_end
    cdef readonly Py_ssize_t is_disposed_at
    cdef readonly Py_ssize_t is_disposed_end
    cdef readonly Py_ssize_t unknown_at
    cdef readonly Py_ssize_t unknown_end

cpdef Py_ssize_t cut(
    bytes data, Py_ssize_t at, Py_ssize_t limit, Py_ssize_t offset, list frames, Py_ssize_t most
) except -1
cpdef bint is_plain(bytes text) except -1
cpdef bint holds(bytes text, Py_ssize_t start, Py_ssize_t end, bytes value) except -1
cpdef bytes part(bytes text, Py_ssize_t start, Py_ssize_t end)
cpdef Py_ssize_t units(bytes text) except -1
