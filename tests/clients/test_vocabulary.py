"""Every header and query parameter that S3 documents has a row in docs/s3-requests.md.

The documentation is botocore's model of S3, which AWS makes its SDKs from.
"""

import pathlib
import unittest

import botocore.session

PAGE = pathlib.Path(__file__).parents[2] / "docs/s3-requests.md"

# A header of HTTP, which has no row.
OF_HTTP = {"content-length"}


def rows():
    """The names on the page, each with its operations; None stands for all of them."""
    found = {}
    for line in PAGE.read_text().splitlines():
        if not line.startswith("| `"):
            continue
        name, operations, _ = (cell.strip() for cell in line.strip("|").split(" | "))
        name = name.strip("`").lower().replace("*", "")
        known = found.setdefault(name, set())
        if operations in ("all", "all others"):
            known.add(None)
        else:
            known.update(operation.strip() for operation in operations.split(","))
    return found


def documented(operation):
    """The names of an operation's input members that are not in its path or body."""
    shape = operation.input_shape
    for member in shape.members.values() if shape else ():
        location = member.serialization.get("location")
        if location in ("header", "headers", "querystring"):
            yield member.serialization["name"].lower()


class Vocabulary(unittest.TestCase):
    def test_every_documented_name_has_a_row(self):
        model = botocore.session.get_session().get_service_model("s3")
        page = rows()
        ours = {name for names in page.values() for name in names if name}
        missing, compared = [], 0
        for name in sorted(ours & set(model.operation_names)):
            for documented_name in documented(model.operation_model(name)):
                compared += 1
                operations = page.get(documented_name, set())
                if documented_name not in OF_HTTP and not operations & {None, name}:
                    missing.append(f"{name} {documented_name}")
        print(f"vocabulary: {compared} documented names compared")
        self.assertGreater(compared, 200)
        self.assertEqual(missing, [])


if __name__ == "__main__":
    unittest.main()
