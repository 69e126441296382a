"""placeholder"""


class DemoFailed(Exception): ...


def demo(info, folder): ...
