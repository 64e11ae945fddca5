// A gRPC request as bytes, for load generators that send the same bytes again and again.

/** The message of a request whose fields are all bytes, numbered from 1 (etcd's PutRequest: key, value; RangeRequest: key). */
export function grpcFrame(...fields) {
  const message = Buffer.concat(
    fields.map((bytes, i) => Buffer.concat([tag(i + 1), varint(bytes.length), bytes])),
  );
  const header = Buffer.alloc(5);
  // Not compressed, then the length.
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

function tag(field) {
  const LENGTH_DELIMITED = 2;
  return varint((field << 3) | LENGTH_DELIMITED);
}

function varint(number) {
  const bytes = [];
  for (let rest = number; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}
