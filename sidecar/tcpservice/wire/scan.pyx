# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The scan, compiled: what `reference` does, at the speed of memory.

Used through `scan` where it was built. It is both the proof that a frame cannot harm a replica and the hottest loop of
the sidecar, so each byte is looked at once, without a copy and without recursion.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy

cdef enum:
    OBJECT = 0
    OTHER = 1
    DEEP = 2
    INVALID = 3
    MAX_NESTING = 256
    MAX_PREFIX = 32
    PATTERN = 0
    DATA = 1
    METADATA = 2
    ID = 3
    ERR = 4
    DISPOSED = 5
    UNKNOWN = 6
    KEYS = 7
    LONGEST_KEY = 10
    ENDED = 10
    VALUE_FOLLOWS = 11
    FINISHED = 12

cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define first_byte(mask) (__builtin_ctzll(mask) >> 3)
    #else
    #define first_byte(mask) 0  /* the bytes are looked at one by one */
    #endif
    """
    int first_byte(unsigned long long mask) nogil

ctypedef const unsigned char* Text
ctypedef unsigned long long Word

cdef struct Shape:
    int kind
    Py_ssize_t begin[7]
    Py_ssize_t end[7]

cdef struct Reader:
    Text text
    Py_ssize_t size
    Py_ssize_t at
    int depth
    int key
    Shape* shape
    unsigned char stack[256]


@cython.final
@cython.freelist(256)
cdef class Frame:
    """A whole frame with the shape of its JSON; see `reference.Frame`."""

    def __init__(self, bytes raw not None, Py_ssize_t at, Py_ssize_t units, Py_ssize_t offset):
        fill(self, raw, at, units, offset)

    @property
    def body(self):
        """The JSON text alone."""
        return self.raw[self.at :]


cdef void fill(Frame frame, bytes raw, Py_ssize_t at, Py_ssize_t units, Py_ssize_t offset) noexcept:
    """Set what a frame holds: its bytes, and where the values stand that matter."""
    cdef Shape shape
    frame.raw = raw
    frame.at = at
    frame.units = units
    frame.offset = offset
    scan(<Text>PyBytes_AS_STRING(raw), at, PyBytes_GET_SIZE(raw), &shape)
    frame.kind = shape.kind
    frame.pattern_at, frame.pattern_end = shape.begin[PATTERN], shape.end[PATTERN]
    frame.data_at = shape.begin[DATA]
    frame.metadata_at, frame.metadata_end = shape.begin[METADATA], shape.end[METADATA]
    frame.id_at, frame.id_end = shape.begin[ID], shape.end[ID]
    frame.err_at, frame.err_end = shape.begin[ERR], shape.end[ERR]
    frame.is_disposed_at, frame.is_disposed_end = shape.begin[DISPOSED], shape.end[DISPOSED]
    frame.unknown_at, frame.unknown_end = shape.begin[UNKNOWN], shape.end[UNKNOWN]


cpdef bytes part(bytes text, Py_ssize_t start, Py_ssize_t end):
    """Copy bytes of a frame; see `reference.part`."""
    end = min(max(end, 0), PyBytes_GET_SIZE(text))
    start = min(max(start, 0), end)
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(text) + start, end - start)


cpdef bint is_plain(bytes text) except -1:
    """Whether text is ASCII; see `reference.is_plain`."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    return plain_end(<Text>PyBytes_AS_STRING(text), 0, size) == size


cpdef bint holds(bytes text, Py_ssize_t start, Py_ssize_t end, bytes value) except -1:
    """Whether a part of a frame is this value; see `reference.holds`."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    if end - start != size or start < 0 or end > PyBytes_GET_SIZE(text):
        return False
    return memcmp(PyBytes_AS_STRING(text) + start, PyBytes_AS_STRING(value), size) == 0


cpdef Py_ssize_t cut(
    bytes data, Py_ssize_t at, Py_ssize_t limit, Py_ssize_t offset, list frames, Py_ssize_t most
) except -1:
    """Cut the run of plain frames at `at`; see `reference.cut`. Frames that are valid UTF-8 are plain here, too."""
    cdef Text text = <Text>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t length, begin, end
    cdef Frame frame
    while at < size and most > 0:
        begin = read_prefix(text, at, size, limit, &length)
        if begin < 0 or size - begin < length:
            break
        end = find_end(text, begin, size, length)
        if end < 0 or end - begin > limit:
            break
        frame = Frame.__new__(Frame)
        fill(frame, PyBytes_FromStringAndSize(<const char*>text + at, end - at), begin - at, length, offset + at)
        frames.append(frame)
        at = end
        most -= 1
    return at


def advance(bytes data not None, Py_ssize_t start, object units_wanted):
    """Walk over whole characters until so many UTF-16 units are passed; see `utf16.advance`."""
    cdef Text text = <Text>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t most = size + 1 if units_wanted > size else units_wanted
    cdef Py_ssize_t wanted = most
    cdef Py_ssize_t end
    cdef int width, units
    with nogil:
        while wanted > 0 and start < size:
            end = plain_end(text, start, min(size, start + wanted))
            if end > start:
                wanted -= end - start
                start = end
                continue
            width = character(text, start, size, &units)
            if width == 0:
                break
            start += width
            wanted -= units
    return start, units_wanted - most + wanted


cpdef Py_ssize_t units(bytes text) except -1:
    """Count the UTF-16 code units of UTF-8 bytes; see `utf16.units`."""
    cdef Text data = <Text>PyBytes_AS_STRING(text)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    cdef Py_ssize_t at = 0, count = 0, end
    cdef int width, wide
    with nogil:
        while at < size:
            end = plain_end(data, at, size)
            if end > at:
                count += end - at
                at = end
                continue
            width = character(data, at, size, &wide)
            if width == 0:
                count += 1
                break
            at += width
            count += wide
    return count


cdef Py_ssize_t read_prefix(
    Text text, Py_ssize_t at, Py_ssize_t size, Py_ssize_t limit, Py_ssize_t* length
) noexcept nogil:
    """Read digits and a `#`; return where the body begins, -1 for any other prefix and for a length above the limit."""
    cdef Py_ssize_t value = 0
    cdef Py_ssize_t last = at + MAX_PREFIX
    if text[at] == c'0':
        return -1
    length[0] = 0
    while at < size and at <= last:
        if c'0' <= text[at] <= c'9':
            value = value * 10 + (text[at] - c'0')
            if value > limit:
                return -1
        elif text[at] == c'#' and value:
            length[0] = value
            return at + 1
        else:
            return -1
        at += 1
    return -1


cdef Py_ssize_t find_end(Text text, Py_ssize_t at, Py_ssize_t size, Py_ssize_t wanted) noexcept nogil:
    """Return where `wanted` units end; -1 where they do not, or where bytes are not UTF-8."""
    cdef Py_ssize_t end
    cdef int width, units
    while wanted > 0:
        if at >= size:
            return -1
        end = plain_end(text, at, min(size, at + wanted))
        if end > at:
            wanted -= end - at
            at = end
            continue
        width = character(text, at, size, &units)
        if width == 0 or not whole(text, at, width):
            return -1
        at += width
        wanted -= units
    return at if wanted == 0 else -1


cdef inline Py_ssize_t plain_end(Text text, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Return where the ASCII bytes at `at` end, `end` at most."""
    cdef Word word
    if at < end and text[at] >= 0x80:
        return at
    while end - at >= 8:
        memcpy(&word, text + at, 8)
        if word & 0x8080808080808080ULL:
            break
        at += 8
    while at < end and text[at] < 0x80:
        at += 1
    return at


cdef inline bint whole(Text text, Py_ssize_t at, int width) noexcept nogil:
    """Whether the bytes of one character are one, and not the beginning of one that is broken off."""
    if text[at] >= 0xF0:
        return width == 4
    if text[at] >= 0xE0:
        return width == 3
    return text[at] >= 0xC2 and width == 2


cdef inline int character(Text text, Py_ssize_t at, Py_ssize_t size, int* units) noexcept nogil:
    """Return how many bytes the next character takes, 0 if it is not all there, and how many UTF-16 units it is.

    Bytes that are not UTF-8 count one for each maximal subpart (Unicode 16, section 3.9, table 3-8).
    """
    cdef unsigned char lead = text[at]
    cdef unsigned char low = 0x80, high = 0xBF
    cdef int more, seen = 1
    units[0] = 1
    if lead < 0x80:
        return 1
    if 0xC2 <= lead <= 0xDF:
        more = 1
    elif 0xE0 <= lead <= 0xEF:
        more = 2
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    elif 0xF0 <= lead <= 0xF4:
        more = 3
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    else:
        return 1
    while more:
        if at + seen >= size:
            return 0
        if not low <= text[at + seen] <= high:
            return seen
        low, high = 0x80, 0xBF
        seen += 1
        more -= 1
    if lead >= 0xF0:
        units[0] = 2
    return seen


cdef void scan(Text text, Py_ssize_t at, Py_ssize_t size, Shape* shape) noexcept nogil:
    """Read the body: a grammar check from front to back that notes where the values of the top-level keys stand."""
    cdef Reader reader
    cdef int step
    reader.text = text
    reader.size = size
    reader.at = skip(text, at, size)
    reader.depth = 0
    reader.key = -1
    reader.shape = shape
    forget(shape)
    shape.kind = OBJECT if reader.at < size and text[reader.at] == c'{' else OTHER
    while True:
        step = read_value(&reader)
        if step == ENDED:
            step = read_following(&reader)
        if step == FINISHED:
            break
        if step != VALUE_FOLLOWS:
            shape.kind = step
            break
    if shape.kind != OBJECT:
        forget(shape)


cdef int read_value(Reader* reader) noexcept nogil:
    """Read a plain value or an empty container, or open one; say what that makes of the text."""
    cdef Text text = reader.text
    cdef Py_ssize_t at = reader.at, size = reader.size
    cdef unsigned char char
    if at >= size:
        return INVALID
    char = text[at]
    if char == c'"':
        reader.at = read_string(text, at, size)
    elif char != c'{' and char != c'[':
        reader.at = read_plain(text, at, size)
    else:
        if reader.depth == MAX_NESTING:
            return DEEP
        reader.stack[reader.depth] = char
        reader.depth += 1
        reader.at = skip(text, at + 1, size)
        if reader.at >= size:
            return INVALID
        if text[reader.at] != (c'}' if char == c'{' else c']'):
            return read_key(reader) if char == c'{' else VALUE_FOLLOWS
        reader.at += 1
        reader.depth -= 1
    return ENDED if reader.at >= 0 else INVALID


cdef int read_following(Reader* reader) noexcept nogil:
    """Read what stands behind a value: the ends of containers, a comma, or the end of the text."""
    cdef Text text = reader.text
    cdef Py_ssize_t size = reader.size, end
    cdef unsigned char char, container
    while True:
        end = reader.at
        reader.at = skip(text, end, size)
        if reader.depth == 0:
            return FINISHED if reader.at == size else INVALID
        if reader.depth == 1 and reader.key >= 0:
            reader.shape.end[reader.key] = end
            reader.key = -1
        if reader.at >= size:
            return INVALID
        char = text[reader.at]
        container = reader.stack[reader.depth - 1]
        if char == c',':
            reader.at = skip(text, reader.at + 1, size)
            return read_key(reader) if container == c'{' else VALUE_FOLLOWS
        if char != (c'}' if container == c'{' else c']'):
            return INVALID
        reader.at += 1
        reader.depth -= 1


cdef int read_key(Reader* reader) noexcept nogil:
    """Read a key and its colon, and note what it is at the top."""
    cdef Text text = reader.text
    cdef Py_ssize_t at = reader.at, size = reader.size, end
    cdef int known = -1
    if reader.depth == 1:
        known = read_plain_key(text, at, size, &end)
        if known >= 0:
            reader.at = skip(text, end, size)
            reader.shape.begin[known] = reader.at
            reader.key = known
            return VALUE_FOLLOWS
    if at >= size or text[at] != c'"':
        return INVALID
    end = read_string(text, at, size)
    if end < 0:
        return INVALID
    reader.at = skip(text, end, size)
    if reader.at >= size or text[reader.at] != c':':
        return INVALID
    reader.at = skip(text, reader.at + 1, size)
    if reader.depth == 1:
        known = which_written(text + at + 1, end - at - 2)
        if known >= 0:
            reader.shape.begin[known] = reader.at
            reader.key = known
        elif reader.shape.begin[UNKNOWN] < 0:
            reader.shape.begin[UNKNOWN] = at + 1
            reader.shape.end[UNKNOWN] = end - 1
    return VALUE_FOLLOWS


cdef inline int read_plain_key(Text text, Py_ssize_t at, Py_ssize_t size, Py_ssize_t* end) noexcept nogil:
    """Recognise a known key and its colon as NestJS writes them, and note where they end; -1 for all other text."""
    if size - at < 13:
        return -1
    if memcmp(text + at, b'"id":', 5) == 0:
        end[0] = at + 5
        return ID
    if memcmp(text + at, b'"data":', 7) == 0:
        end[0] = at + 7
        return DATA
    if memcmp(text + at, b'"pattern":', 10) == 0:
        end[0] = at + 10
        return PATTERN
    if memcmp(text + at, b'"isDisposed":', 13) == 0:
        end[0] = at + 13
        return DISPOSED
    return -1


cdef inline void forget(Shape* shape) noexcept nogil:
    cdef int index
    for index in range(KEYS):
        shape.begin[index] = shape.end[index] = -1


cdef inline Py_ssize_t skip(Text text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    while at < size and (text[at] == c' ' or text[at] == c'\n' or text[at] == c'\r' or text[at] == c'\t'):
        at += 1
    return at


cdef inline int which_written(Text key, Py_ssize_t size) noexcept nogil:
    """Return which key it is, however it is written: the letters of a key may be escapes, such as `\\u0069d`."""
    cdef unsigned char letters[10]
    cdef Py_ssize_t at = 0, count = 0
    cdef int digit, code
    if memchr(key, c'\\', size) == NULL:
        return which(key, size)
    while at < size:
        if count == LONGEST_KEY:
            return -1
        code = key[at]
        at += 1
        if code == c'\\':
            if key[at] != c'u':
                return -1
            code = 0
            for digit in range(1, 5):
                code = code * 16 + hexadecimal(key[at + digit])
            at += 5
        if code >= 0x80:
            return -1
        letters[count] = <unsigned char>code
        count += 1
    return which(letters, count)


cdef inline int hexadecimal(unsigned char char) noexcept nogil:
    return char - c'0' if char <= c'9' else (char | 0x20) - c'a' + 10


cdef inline int which(Text key, Py_ssize_t size) noexcept nogil:
    if size == 7 and memcmp(key, b"pattern", 7) == 0:
        return PATTERN
    if size == 4 and memcmp(key, b"data", 4) == 0:
        return DATA
    if size == 2 and memcmp(key, b"id", 2) == 0:
        return ID
    if size == 8 and memcmp(key, b"metadata", 8) == 0:
        return METADATA
    if size == 3 and memcmp(key, b"err", 3) == 0:
        return ERR
    if size == 10 and memcmp(key, b"isDisposed", 10) == 0:
        return DISPOSED
    return -1


cdef Py_ssize_t read_string(Text text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Read a string whose quote stands at `at`; return where it ends, -1 for what is none."""
    cdef Word word, found
    cdef unsigned char char
    at += 1
    while True:
        while size - at >= 8:
            memcpy(&word, text + at, 8)
            found = special(word)
            if found:
                at += first_byte(found)
                break
            at += 8
        if at >= size:
            return -1
        char = text[at]
        at += 1
        if char == c'"':
            return at
        if char == c'\\':
            at = read_escape(text, at, size)
            if at < 0:
                return -1
        elif char < 0x20:
            return -1


cdef inline Word special(Word word) noexcept nogil:
    """Mark the first quote, backslash or control character of eight bytes; later marks may be wrong. 0: there is none.
    """
    cdef Word ones = 0x0101010101010101ULL
    cdef Word tops = 0x8080808080808080ULL
    cdef Word quotes = word ^ (ones * 0x22)
    cdef Word slashes = word ^ (ones * 0x5C)
    return (((quotes - ones) & ~quotes) | ((slashes - ones) & ~slashes) | ((word - ones * 0x20) & ~word)) & tops


cdef inline Py_ssize_t read_escape(Text text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Read what follows a backslash; return where it ends, -1 for what is no escape."""
    cdef unsigned char char
    cdef int digit
    if at >= size:
        return -1
    char = text[at]
    if char == c'u':
        if size - at < 5:
            return -1
        for digit in range(1, 5):
            char = text[at + digit]
            if not (c'0' <= char <= c'9' or c'a' <= char <= c'f' or c'A' <= char <= c'F'):
                return -1
        return at + 5
    if memchr(b'"\\/bfnrt', char, 8) != NULL:
        return at + 1
    return -1


cdef inline Py_ssize_t digits(Text text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    while at < size and c'0' <= text[at] <= c'9':
        at += 1
    return at


cdef Py_ssize_t read_plain(Text text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Read a number or a literal; return where it ends, -1 for what is neither."""
    cdef Py_ssize_t end
    if text[at] == c't':
        return at + 4 if size - at >= 4 and memcmp(text + at, b"true", 4) == 0 else -1
    if text[at] == c'f':
        return at + 5 if size - at >= 5 and memcmp(text + at, b"false", 5) == 0 else -1
    if text[at] == c'n':
        return at + 4 if size - at >= 4 and memcmp(text + at, b"null", 4) == 0 else -1
    if text[at] == c'-':
        at += 1
    end = digits(text, at, size)
    if end == at or (text[at] == c'0' and end != at + 1):
        return -1
    at = end
    if at < size and text[at] == c'.':
        end = digits(text, at + 1, size)
        if end == at + 1:
            return -1
        at = end
    if at < size and (text[at] == c'e' or text[at] == c'E'):
        at += 1
        if at < size and (text[at] == c'+' or text[at] == c'-'):
            at += 1
        end = digits(text, at, size)
        if end == at:
            return -1
        at = end
    return at
